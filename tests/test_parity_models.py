"""Deeper, grouped, split and deformable backbones against the reference implementation.

Each network is built from its YAML config for one training step in float64, and from its
LazyConfig twin for an inference in float32. The files hold a part of every map, and the mean and
deviation of the whole.
"""

from typing import NamedTuple

import pytest
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from torch import Tensor, nn

from tests.helpers.parity import (
    NORM_RTOL,
    Training,
    difference,
    gradient_problems,
    inference_from,
    loss_problems,
    match_detections,
    recorded_maps,
    train_step,
)
from tests.helpers.reference import DATA, Reference, build_reference_model
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs

pytestmark = pytest.mark.slow

# Reference file, config, and the parameters of the reference
MODELS = {
    "vfnet_r101_fpn": ("vfnet_R_101_1x", 51_883_682),
    "vfnet_r50_mdconv": ("vfnet_R_50_DCN_MS_2x", 33_887_287),
    "vfnet_x101_64x4d_mdconv": ("vfnet_X_101_64x4d_DCN_MS_2x", 98_628_866),
    "vfnet_res2net101_mdconv": ("vfnet_R2_101_DCN_MS_2x", 55_037_638),
}
# Where an activation is 0 up to rounding, the reference's float32 run and a run in float64 fall on
# two sides of the ReLU, which the gradients of all earlier layers feel. R-101 has two, in blocks 7
# and 21 of res4: its norms differ by 5.2e-4. In float32 ours differ by 7e-6.
RTOLS = {"vfnet_r101_fpn": 1e-3}
# Of a map's deviation. Features: see test_parity.py. Outputs: where the file does not give the
# reference's own noise, the largest that any of its files gives.
FEATURE_NOISE = 2e-5
OUTPUT_NOISE = 5.4e-5


class Run(NamedTuple):
    """What our network made of the reference's inputs."""

    reference: Reference
    model: nn.Module
    num_parameters: int
    maps: dict[str, Tensor]
    training: Training


@pytest.fixture(scope="module", params=MODELS)
def run(request: pytest.FixtureRequest) -> Run:
    """One training step with ground truth, in float64."""
    reference = Reference(DATA / f"{request.param}.npz")
    model = build_reference_model(reference, MODELS[request.param][0]).double()
    # Detectron2 turns the parameters of frozen norms into buffers, so count by what is not one.
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    state = model.state_dict()
    count = sum(value.numel() for name, value in state.items() if not name.endswith(statistics))
    with recorded_maps(model) as maps:
        training = train_step(model, reference, "A")
    return Run(reference, model, count, maps, training)


def name_of(run: Run) -> str:
    return run.reference.meta["model"]


def test_number_of_parameters(run: Run) -> None:
    assert run.num_parameters == run.reference.meta["n_params"] == MODELS[name_of(run)][1]


def noise(reference: Reference, name: str) -> float:
    """Float32 noise of an output; of initial boxes that of the refined ones."""
    if reference.meta["fp64_maxabsdiff_and_std"]:
        return reference.noise(name.replace("train_out.1", "eval_out.1"))
    return OUTPUT_NOISE * reference.stored(name).std


def test_stored_parts_of_the_maps(run: Run) -> None:
    problems = []
    for name, about in run.reference.meta["arrays"].items():
        if name.startswith(("backbone", "neck")):
            bound = FEATURE_NOISE * about["std"]
        else:
            bound = 1.5 * noise(run.reference, name)
        found = difference(run.maps[name], run.reference, name)
        if not found < bound:
            problems.append(f"{name}: {found:.3g}, allowed {bound:.3g}")
    assert len(run.reference.meta["arrays"]) == 4 + 5 + 15
    assert problems == []


def test_mean_and_deviation_of_the_maps(run: Run) -> None:
    for name, about in run.reference.meta["arrays"].items():
        bound = 1e-6 * about["std"]
        assert abs(run.maps[name].mean().item() - about["mean"]) < bound, name
        assert abs(run.maps[name].std(unbiased=False).item() - about["std"]) < bound, name


def test_losses_and_every_parameter_s_gradient_norm(run: Run) -> None:
    assert loss_problems(run.training, run.reference, "A") == []
    rtol = RTOLS.get(name_of(run), NORM_RTOL)
    assert gradient_problems(run.training, run.reference, "A", rtol=rtol) == []


@pytest.mark.parametrize("case", ["B", "C"])
def test_losses_without_ground_truth(case: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The network's outputs do not depend on the ground truth, so they are not computed again.
    names = run.model.head_in_features
    pyramid = {name: run.maps[f"neck.{level}"] for level, name in enumerate(names)}
    outputs = HeadOutputs(
        logits=[run.maps[f"train_out.0.l{level}"] for level in range(5)],
        boxes=[
            DenseBoxes(
                [run.maps[f"train_out.{stage}.l{level}"] / (64 * 2**level) for level in range(5)]
            )
            for stage in (1, 2)
        ],
    )
    monkeypatch.setattr(run.model.backbone, "forward", lambda images: pyramid)
    monkeypatch.setattr(run.model.head, "forward", lambda features: outputs)
    training = train_step(run.model, run.reference, case, backward=False)
    assert loss_problems(training, run.reference, case) == []


def test_detections_of_the_float64_outputs(run: Run) -> None:
    detections = inference_from(run.model, run.reference, run.maps)
    for image, found in enumerate(detections):
        size = run.reference.meta["images"][image]["ori"]
        found = detector_postprocess(found, *size)
        box, score = match_detections(found, run.reference, f"det.orig.img{image}")
        assert box < 2e-3
        assert score < 2e-5


def test_detections_of_the_lazy_twin_in_float32(run: Run) -> None:
    config, _ = MODELS[name_of(run)]
    model = build_reference_model(run.reference, config, suffix=".py").eval()
    with torch.no_grad():
        detections = model(run.reference.inputs())
    # 4 times the noise of the refined boxes, as in test_parity.py; distances are in pixels.
    bound = 4 * max(noise(run.reference, f"eval_out.1.l{level}") for level in range(5))
    for image, found in enumerate(detections):
        box, score = match_detections(found["instances"], run.reference, f"det.orig.img{image}")
        assert box < bound
        assert score < 1e-4
