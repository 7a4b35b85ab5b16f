"""ATSS, RetinaNet and FoveaBox against the reference implementation, each with FL and VFL.

Each network is built from its YAML config, filled through the checkpoint converter's key table,
and run in float64: the reference ran in float32, so what is left is its own rounding.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import Tensor, nn

from tests.helpers.assignments import gt_idxs
from tests.helpers.parity import (
    LOSS_RTOL,
    Training,
    difference,
    gradient_problems,
    match_detections,
    train_step,
)
from tests.helpers.reference import CASES, build_reference_model
from tests.helpers.tower_reference import TOWERS, TowerReference
from vfnet_d2.checkpoint.convert.mmdet_towers import swap_sizes_and_shapes
from vfnet_d2.losses.varifocal import VarifocalLoss
from vfnet_d2.modeling.dense.detectors.foveabox import FoveaBox
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs, Matches

pytestmark = pytest.mark.slow

PARAMETERS = {
    "atss_r50_fpn": 32_295_322,
    "retinanet_r50_fpn": 37_968_692,
    "fovea_r50_fpn": 36_419_732,
}
# Of a feature map's standard deviation; see test_parity.py.
FEATURE_NOISE = 2e-5


class Run(NamedTuple):
    """What our network made of the reference's inputs with ground truth, in float64."""

    reference: TowerReference
    model: nn.Module
    features: list[Tensor]
    outputs: HeadOutputs
    training: Training


@pytest.fixture(scope="module", params=TOWERS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    reference = TowerReference(request.param)
    config = f"baselines/{TOWERS[request.param]}_R_50_1x"
    model = build_reference_model(reference, config).double()
    seen: list[tuple[list[Tensor], HeadOutputs]] = []
    handle = model.head.register_forward_hook(
        lambda module, args, result: seen.append((args[0], result))
    )
    training = train_step(model, reference, "A")
    handle.remove()
    [(features, outputs)] = seen
    detached = HeadOutputs(
        [x.detach() for x in outputs.logits],
        [DenseBoxes([x.detach() for x in stage.maps()]) for stage in outputs.boxes],
        outputs.quality and [x.detach() for x in outputs.quality],
    )
    yield Run(reference, model, [x.detach() for x in features], detached, training)


def their_order(run: Run, channels: Tensor) -> Tensor:
    """Channels (C, ...) of one of our predictors as the reference orders its anchors."""
    nine = run.reference.meta["model"].startswith("retinanet")
    return swap_sizes_and_shapes(channels) if nine else channels


def output_maps(run: Run) -> dict[str, Tensor]:
    kinds = [run.outputs.logits, run.outputs.boxes[0].maps(), run.outputs.quality or []]
    return {
        f"eval_out.{kind}.l{level}": their_order(run, x.transpose(0, 1)).transpose(0, 1)
        for kind, levels in enumerate(kinds)
        for level, x in enumerate(levels)
    }


def stored_loss(run: Run, name: str) -> float:
    """A stored loss; the reference lists those of each level, or their sum."""
    return float(run.reference.arrays[name].astype(np.float64).sum())


def losses_of(run: Run, case: str) -> dict[str, Tensor]:
    """Our losses; the outputs do not depend on the ground truth."""
    inputs = run.reference.inputs(case)
    return run.model.losses(run.outputs, [x["instances"] for x in inputs])


def test_number_of_parameters(run: Run) -> None:
    # Detectron2 turns the parameters of frozen norms into buffers, so count by what is not one.
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    state = run.model.state_dict()
    count = sum(value.numel() for name, value in state.items() if not name.endswith(statistics))
    assert count == run.reference.meta["n_params"] == PARAMETERS[run.reference.meta["model"]]


def test_feature_maps(run: Run) -> None:
    for level, feature in enumerate(run.features):
        about = run.reference.meta["arrays"][f"neck.{level}"]
        bound = FEATURE_NOISE * about["std"]
        assert difference(feature, run.reference, f"neck.{level}") < bound
        assert abs(feature.mean().item() - about["mean"]) < 1e-6 * about["std"]


def test_head_outputs(run: Run) -> None:
    maps = output_maps(run)
    assert len(maps) + 5 == len(run.reference.meta["arrays"])
    for name, found in maps.items():
        # Measured: 1.02 times the reference's own noise.
        assert difference(found, run.reference, name) < 1.5 * run.reference.noise(name), name
        about = run.reference.stored(name)
        assert abs(found.mean().item() - about.mean) < 1e-6 * about.std, name
        assert abs(found.std(unbiased=False).item() - about.std) < 1e-6 * about.std, name


@pytest.mark.parametrize("case", CASES)
def test_losses(case: str, run: Run) -> None:
    found = losses_of(run, case)
    stored = [n for n in run.reference.arrays if n.startswith(f"loss.{case}.")]
    assert {f"loss.{case}.{name}" for name in found} == set(stored)
    for name, value in found.items():
        expected = stored_loss(run, f"loss.{case}.{name}")
        assert value.item() == pytest.approx(expected, rel=LOSS_RTOL, abs=0), name


def test_every_parameter_s_gradient_norm(run: Run) -> None:
    # Measured: 2.1e-6 at most, with 29 and 36 positives.
    assert gradient_problems(run.training, run.reference, "A", rtol=1e-5) == []


def test_every_stored_gradient_element_by_element(run: Run) -> None:
    prefix = "grad.A.full."
    stored = {k.removeprefix(prefix): v for k, v in run.reference.arrays.items() if prefix in k}
    assert len(stored) >= 9
    for name, gradient in stored.items():
        pair = run.reference.pairs[name]
        ours = pair.to_theirs(run.training.gradients[pair.ours]).numpy()
        # Measured: 3.7e-5 of the largest element at most, in a norm of ATSS' box tower.
        bound = 1e-4 * np.abs(gradient).max()
        np.testing.assert_allclose(ours, gradient, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("image", [0, 1])
def test_assignment_of_atss(image: int, run: Run) -> None:
    name = f"assign.A.img{image}.gt_inds"
    if name not in run.reference.arrays:
        assert run.reference.meta["model"] != "atss_r50_fpn"
        return
    labels = run.training.assignment.labels[image].long()
    ours = torch.where(labels == 1, gt_idxs(run.training.assignment)[image] + 1, labels)
    np.testing.assert_array_equal(ours.numpy(), run.reference.arrays[name])


def detections(run: Run) -> list[Instances]:
    """Detections of the float64 outputs, rounded once: the stored ones are of float32 outputs."""
    outputs = HeadOutputs(
        logits=[x.float() for x in run.outputs.logits],
        boxes=[DenseBoxes([x.float() for x in run.outputs.boxes[0].maps()])],
        quality=run.outputs.quality and [x.float() for x in run.outputs.quality],
    )
    sizes = run.model.preprocess_image(run.reference.inputs()).image_sizes
    if isinstance(run.model, FoveaBox):
        # The reference clips to the last pixel, as if a box ended at that pixel's centre.
        sizes = [(height - 1, width - 1) for height, width in sizes]
    return run.model.detections(outputs, sizes)


@pytest.mark.parametrize("image", [0, 1])
def test_detections(image: int, run: Run) -> None:
    about = run.reference.meta["images"][image]
    found = detections(run)[image]
    found = Instances(tuple(about["hw"]), **found.get_fields())
    found = detector_postprocess(found, *about["ori"])
    box, score = match_detections(found, run.reference, f"det.orig.img{image}")
    assert box < 1e-3
    assert score < 1e-5


@pytest.fixture
def with_vfl(run: Run) -> Iterator[Run]:
    focal = run.model.cls_loss
    run.model.cls_loss = VarifocalLoss()
    yield run
    run.model.cls_loss = focal


def iou_clipped_to_the_first_image(model: FoveaBox, patch: pytest.MonkeyPatch) -> None:
    def target(matches: Matches, gt_instances: list[Instances]) -> Tensor:
        height, width = gt_instances[0].image_size
        first = [Instances((height - 1, width - 1))] * len(gt_instances)
        return FoveaBox.iou_target(model, matches, first)

    patch.setattr(model, "iou_target", target)


@pytest.mark.parametrize("case", CASES)
def test_losses_with_vfl(case: str, with_vfl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(with_vfl.model, FoveaBox):
        # The reference has a bug that ours has not: it clips all boxes to the first image.
        iou_clipped_to_the_first_image(with_vfl.model, monkeypatch)
    for name, value in losses_of(with_vfl, case).items():
        expected = stored_loss(with_vfl, f"vfl.{case}.{name}")
        assert value.item() == pytest.approx(expected, rel=LOSS_RTOL, abs=0), name


@pytest.mark.parametrize("case", CASES)
def test_vfl_of_foveabox_without_clipping(
    case: str, with_vfl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"vfl.{case}.loss_cls_noclamp"
    assert (name in with_vfl.reference.arrays) == isinstance(with_vfl.model, FoveaBox)
    if isinstance(with_vfl.model, FoveaBox):
        template = functools.partial(OneStageDetector.iou_target, with_vfl.model)
        monkeypatch.setattr(with_vfl.model, "iou_target", template)
        found = losses_of(with_vfl, case)["loss_cls"]
        assert found.item() == pytest.approx(stored_loss(with_vfl, name), rel=LOSS_RTOL, abs=0)


@pytest.mark.parametrize("case", CASES)
def test_gradient_of_vfl_at_the_classifier_s_bias(
    case: str, with_vfl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(with_vfl.model, FoveaBox):
        iou_clipped_to_the_first_image(with_vfl.model, monkeypatch)
    logits = [x.clone().requires_grad_() for x in with_vfl.outputs.logits]
    losses = losses_of(with_vfl._replace(outputs=with_vfl.outputs._replace(logits=logits)), case)
    # The bias is added to every position of its channel.
    gradient = sum(x.sum(dim=(0, 2, 3)) for x in torch.autograd.grad(losses["loss_cls"], logits))
    [name] = [n for n in with_vfl.reference.arrays if n.startswith(f"vfl.{case}.gradcls")]
    stored = with_vfl.reference.arrays[name]
    ours = their_order(with_vfl, gradient).numpy()
    np.testing.assert_allclose(ours, stored, rtol=0, atol=1e-5 * np.abs(stored).max())
