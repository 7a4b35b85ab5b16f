"""Our VFNet R-50 against the reference implementation: every number of ``vfnet_r50_fpn.npz``."""

import copy
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes
from torch import Tensor, nn

from tests.helpers.assignments import gt_idxs
from tests.helpers.parity import (
    Training,
    difference,
    gradient_problems,
    head_outputs,
    inference_from,
    loss_problems,
    match_detections,
    train_step,
)
from tests.helpers.reference import CASES, LOSSES, Reference
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.layers.deform.star_ops import STAR_CONVS
from vfnet_d2.losses.box import paired_iou

FEATURES = [*(f"backbone.{i}" for i in range(4)), *(f"neck.{i}" for i in range(5))]
OUTPUTS = [
    f"{mode}_out.{k}.l{level}"
    for mode, kinds in (("eval", 2), ("train", 3))
    for k in range(kinds)
    for level in range(5)
]
# The file gives the reference's float32 noise of the outputs alone. Of the features it is 6e-6 of
# their standard deviation at most.
FEATURE_NOISE = 2e-5

TrainStep = Callable[[str], Training]


@pytest.fixture(scope="module")
def maps(reference: Reference, reference_model: nn.Module) -> dict[str, Tensor]:
    """Feature maps and outputs in float32."""
    return head_outputs(reference_model, reference)


@pytest.fixture(scope="module")
def maps64(reference: Reference, reference_model64: nn.Module) -> dict[str, Tensor]:
    """Feature maps and outputs in float64."""
    return head_outputs(reference_model64, reference)


@pytest.fixture(scope="module")
def train(reference: Reference, reference_model64: nn.Module) -> TrainStep:
    """One training step in float64 by case, run once each."""
    return functools.cache(lambda case: train_step(reference_model64, reference, case))


def noise(reference: Reference, name: str) -> float:
    """Float32 noise of an output; the file gives it for those of eval mode."""
    same = {"train_out.0": "eval_out.0", "train_out.1": "eval_out.1", "train_out.2": "eval_out.1"}
    output, level = name.rsplit(".", 1)
    return reference.noise(f"{same.get(output, output)}.{level}")


def test_the_network_has_the_reference_s_parameters(
    reference: Reference, reference_model: nn.Module
) -> None:
    # Detectron2 turns the parameters of frozen norms into buffers, so count by what is not one.
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    state = reference_model.state_dict()
    count = sum(value.numel() for name, value in state.items() if not name.endswith(statistics))
    assert count == reference.meta["n_params"] == 32_891_554


def test_input_is_normalised_and_padded_alike(
    reference: Reference, maps: dict[str, Tensor]
) -> None:
    batch = maps["input"]
    np.testing.assert_allclose(
        batch[:, :, ::16, ::16].numpy(), reference.arrays["input.tensor_slice"], rtol=0, atol=1e-6
    )
    figures = [
        batch.double().mean(),
        batch.double().std(unbiased=False),
        batch.double().abs().sum(),
    ]
    np.testing.assert_allclose(figures, reference.arrays["input.mean_std_abssum"], rtol=1e-5)


@pytest.mark.parametrize("name", FEATURES)
def test_feature_maps_in_float64(
    name: str, reference: Reference, maps64: dict[str, Tensor]
) -> None:
    assert difference(maps64[name], reference, name) < FEATURE_NOISE * reference.stored(name).std


@pytest.mark.parametrize("name", OUTPUTS)
def test_head_outputs_in_float64(
    name: str, reference: Reference, maps64: dict[str, Tensor]
) -> None:
    # What is left is the reference's own rounding, which differs a little from run to run.
    assert difference(maps64[name], reference, name) < 1.5 * noise(reference, name)


@pytest.mark.parametrize("name", OUTPUTS)
def test_head_outputs_in_float32(name: str, reference: Reference, maps: dict[str, Tensor]) -> None:
    # Both sides round, and the largest of thousands of rounding errors varies by small factors.
    assert difference(maps[name], reference, name) < 15 * noise(reference, name)


@pytest.mark.parametrize("name", FEATURES + OUTPUTS)
def test_maps_agree_also_where_only_their_mean_and_deviation_are_stored(
    name: str, reference: Reference, maps64: dict[str, Tensor]
) -> None:
    stored, ours = reference.stored(name), maps64[name]
    bound = 1e-6 * stored.std
    assert abs(ours.mean().item() - stored.mean) < bound
    assert abs(ours.std(unbiased=False).item() - stored.std) < bound


@pytest.mark.parametrize("case", CASES)
def test_losses_in_float64(case: str, reference: Reference, train: TrainStep) -> None:
    assert loss_problems(train(case), reference, case) == []


@pytest.mark.parametrize("case", CASES)
def test_losses_in_float32(case: str, reference: Reference, reference_model: nn.Module) -> None:
    with torch.no_grad():
        losses = reference_model.train()(reference.inputs(case))
    reference_model.eval()
    for ours, theirs in LOSSES.items():
        stored = float(reference.arrays[f"loss.{case}.{theirs}"][0])
        assert losses[ours].item() == pytest.approx(stored, rel=1e-5, abs=0), ours


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_s_gradient_norm(case: str, reference: Reference, train: TrainStep) -> None:
    assert gradient_problems(train(case), reference, case) == []


@pytest.mark.parametrize("name", [name for name in STAR_CONVS if name != "grid_sample"])
def test_every_star_convolution_trains_alike(
    name: str, reference: Reference, reference_model64: nn.Module
) -> None:
    model = copy.deepcopy(reference_model64)
    model.head.refine_star.implementation = model.head.cls_star.implementation = name
    training = train_step(model, reference, "A")
    assert loss_problems(training, reference, "A") == []
    assert gradient_problems(training, reference, "A") == []


def test_every_stored_gradient_element_by_element(reference: Reference, train: TrainStep) -> None:
    prefix = "grad.A.full."
    stored = {k.removeprefix(prefix): v for k, v in reference.arrays.items() if prefix in k}
    assert len(stored) == 27
    for name, gradient in stored.items():
        ours = train("A").gradients[from_mmdet(name)]
        # The gradient with respect to a sampling point jumps where the point crosses a pixel line,
        # so the norms that lie before the star differ by 2e-3 of their largest element, between
        # two runs of the reference itself too. Everything else differs by 5e-6.
        before_star = ".gn." in name and "cls_convs" not in name
        bound = (4e-3 if before_star else 2e-5) * np.abs(gradient).max()
        np.testing.assert_allclose(ours.numpy(), gradient, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("image", [0, 1])
def test_assignment(case: str, image: int, reference: Reference, train: TrainStep) -> None:
    assignment = train(case).assignment
    labels = assignment.labels[image].long()
    ours = torch.where(labels == 1, gt_idxs(assignment)[image] + 1, labels)
    np.testing.assert_array_equal(
        ours.numpy(), reference.arrays[f"assign.{case}.img{image}.gt_inds"]
    )


@pytest.mark.parametrize("image", [0, 1])
def test_ious_of_assigned_anchors(
    image: int, reference: Reference, reference_model: nn.Module
) -> None:
    prefix = f"assign.A.img{image}"
    sizes = reference.arrays["assign.A.feat_hw"]
    maps = [torch.zeros(1, 1, *size) for size in sizes.tolist()]
    anchors = Boxes.cat(reference_model.anchor_generator(maps)).tensor
    positive = torch.from_numpy(reference.arrays[f"{prefix}.pos_inds"]).long()
    gt = torch.from_numpy(reference.arrays[f"{prefix}.pos_gt"]).long()
    ious = paired_iou(anchors[positive], reference.targets(image).gt_boxes.tensor[gt])
    np.testing.assert_allclose(ious, reference.arrays[f"{prefix}.pos_iou"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("image", [0, 1])
def test_detections_in_float32(
    image: int, reference: Reference, reference_model: nn.Module
) -> None:
    with torch.no_grad():
        detections = reference_model(reference.inputs())[image]["instances"]
    box, score = match_detections(detections, reference, f"det.orig.img{image}")
    assert detections.image_size == tuple(reference.meta["images"][image]["ori"])
    # 4 times the noise of the refined boxes, where distances are largest: 0.013 pixels
    assert box < 4 * max(reference.noise(f"eval_out.1.l{level}") for level in range(5))
    assert score < 1e-4


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("scale", ["input", "orig"])
def test_detections_of_float64_outputs(
    image: int,
    scale: str,
    reference: Reference,
    reference_model: nn.Module,
    maps64: dict[str, Tensor],
) -> None:
    detections = inference_from(reference_model, reference, maps64)[image]
    if scale == "orig":
        detections = detector_postprocess(detections, *reference.meta["images"][image]["ori"])
    box, score = match_detections(detections, reference, f"det.{scale}.img{image}")
    assert box < 2e-3
    assert score < 2e-5
