"""Tests of vfnet_d2.modeling.dense.one_stage."""

from typing import Any

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from tests.helpers.small_model import NUM_CLASSES, random_input, small_model
from vfnet_d2.modeling.dense import one_stage
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs, assign_each_anchor

LOSS_NAMES = {"loss_cls", "loss_bbox", "loss_bbox_refine"}
CLS_LOSS = "MODEL.ONE_STAGE.CLS_LOSS.NAME"
PRIOR = "MODEL.ONE_STAGE.HEAD.VFNetHead.PRIOR_PROB"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small VFNet; leave it as it is."""
    return small_model()


class Recorder(nn.Module):
    """A classification loss that remembers what it was given."""

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped, self.iou_aware = wrapped, wrapped.iou_aware

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Pass on what came."""
        self.targets = targets
        return self.wrapped(logits, targets)


def recorded_targets(name: str, inputs: list[dict[str, Any]]) -> Tensor:
    """Targets (points, K) that a loss gets in a training step."""
    model = small_model(CLS_LOSS, name)
    model.cls_loss = Recorder(model.cls_loss)
    model.train()(inputs)
    return model.cls_loss.targets


def hand_made(
    model: nn.Module, *, positive: bool, num_images: int = 1
) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of two anchors, the first of which may answer for a box, and the logits.

    The anchor (0, 0, 64, 64) with distances of half its side is its own box. The ground truth has
    the same left half, (0, 0, 32, 64): IoU 1/2, and GIoU 1/2, as the anchor encloses it. The
    refined box has half that width to the right: it is the ground truth.
    """
    anchors = torch.tensor([[0.0, 0, 64, 64], [64.0, 0, 128, 64]])
    initial = torch.full((num_images, 2, 4), 0.5)
    refined = initial.clone()
    refined[..., 2] = 0.0
    logits = torch.zeros(num_images, NUM_CLASSES, 1, 2, requires_grad=True)
    labels = torch.zeros(num_images, 2, dtype=torch.int8)
    labels[0, 0] = int(positive)
    targets = Instances((64, 128))
    targets.gt_boxes = Boxes(torch.tensor([[0.0, 0, 32, 64]]))
    targets.gt_classes = torch.tensor([3])
    assignment = assign_each_anchor(torch.zeros_like(labels, dtype=torch.long), labels)
    stages = [DenseBoxes([x.transpose(1, 2)[:, :, None]]) for x in (initial, refined)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.anchor_generator, "forward", lambda maps: [Boxes(anchors)])
        patch.setattr(model, "matcher", lambda anchors, targets, padded_sizes: assignment)
        losses = model.losses(HeadOutputs([logits], stages), [targets] * num_images)
    return losses, logits


def test_hand_computed_box_losses(model: nn.Module) -> None:
    losses, _ = hand_made(model, positive=True)
    # 1.5 x (1 - 1/2) x weight 1/2 / max(sum of weights 1/2, 1)
    assert losses["loss_bbox"].item() == pytest.approx(1.5 * 0.5 * 0.5 / 1)
    assert losses["loss_bbox_refine"].item() == pytest.approx(0, abs=1e-6)


def test_hand_computed_classification_loss(model: nn.Module) -> None:
    losses, _ = hand_made(model, positive=True)
    # p = 1/2 everywhere: the positive costs 1 x ln 2, nine negatives 0.75 x 0.25 x ln 2 each
    ln2 = 0.6931472
    assert losses["loss_cls"].item() == pytest.approx(ln2 + 9 * 0.75 * 0.25 * ln2)


def test_without_positives_box_losses_are_zero(model: nn.Module) -> None:
    losses, _ = hand_made(model, positive=False)
    assert losses["loss_bbox"].item() == losses["loss_bbox_refine"].item() == 0
    assert losses["loss_cls"].item() == pytest.approx(10 * 0.75 * 0.25 * 0.6931472)


@pytest.mark.parametrize("positive", [False, True])
def test_normalizers_are_reduced_once_whatever_the_data(
    positive: bool, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank without objects must enter the same collectives as the others."""
    calls: list[list[float]] = []

    def spy(values: Tensor) -> Tensor:
        calls.append(values.tolist())
        return torch.full_like(values, 4.0)

    monkeypatch.setattr(one_stage, "reduce_mean", spy)
    losses, _ = hand_made(model, positive=positive)
    # number of positives, and the sums of the IoUs of both stages (1e-6 is the smallest weight)
    assert calls == [pytest.approx([1.0, 0.5, 1.0] if positive else [0, 0, 0])]
    ln2 = 0.6931472
    entropy = (ln2 + 9 * 0.1875 * ln2) if positive else 10 * 0.1875 * ln2
    assert losses["loss_cls"].item() == pytest.approx(entropy / 4)
    assert losses["loss_bbox"].item() == pytest.approx(1.5 * 0.25 / 4 if positive else 0)


@pytest.mark.parametrize("num_boxes", [0, 1, 3000])
def test_any_number_of_boxes_gives_finite_losses_and_every_gradient(num_boxes: int) -> None:
    model = small_model().train()
    losses = model([random_input(96, 128, num_boxes), random_input(64, 64, 0)])
    sum(losses.values()).backward()
    assert losses.keys() == LOSS_NAMES
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.usefixtures("float64")
def test_boxes_of_both_images_find_their_own_ground_truth() -> None:
    """Losses of a batch are those of its images, each normalised by the batch's own sums."""
    model = small_model().eval()  # running statistics: the images do not see each other
    inputs = [random_input(96, 128, 3, seed=1), random_input(96, 128, 2, seed=2)]
    seen: list[Any] = []
    model.box_weights = lambda matches: seen.append(matches) or matches.ious

    def run(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        images = model.preprocess_image(batch)
        return model.losses(model.network(images.tensor), [item["instances"] for item in batch])

    with torch.no_grad():
        together, alone = run(inputs), [run([item]) for item in inputs]
    for stage, name in enumerate(("loss_bbox", "loss_bbox_refine")):
        batch, first, second = seen[stage::2]
        assert torch.equal(batch.gt_boxes, torch.cat([first.gt_boxes, second.gt_boxes]))
        assert torch.equal(batch.gt_classes, torch.cat([first.gt_classes, second.gt_classes]))
        sums = [matches.ious.sum().clamp(min=1) for matches in (first, second)]
        expected = sum(a[name] * s for a, s in zip(alone, sums, strict=True))
        total = batch.ious.sum().clamp(min=1)
        torch.testing.assert_close(together[name], expected / total)


@pytest.mark.parametrize("name", ["VarifocalLoss", "QualityFocalLoss"])
def test_iou_aware_losses_count_the_padding_too(name: str) -> None:
    # a batch of 96 x 128: 12 x 16 + 6 x 8 + 3 x 4 + 2 x 2 + 1 points, for both images
    targets = recorded_targets(name, [random_input(64, 64, 1), random_input(96, 128, 1)])
    assert targets.shape == (2 * 257, NUM_CLASSES)


def test_focal_loss_ignores_the_padding() -> None:
    # the image of 64 x 64 has 8 x 8 + 4 x 4 + 2 x 2 + 1 + 1 points of its own
    targets = recorded_targets("FocalLoss", [random_input(64, 64, 1), random_input(96, 128, 1)])
    assert targets.shape == (86 + 257, NUM_CLASSES)


def test_focal_loss_wants_ones() -> None:
    targets = recorded_targets("FocalLoss", [random_input(96, 128, 3)])
    assert set(targets.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("name", ["VarifocalLoss", "QualityFocalLoss"])
def test_iou_aware_losses_want_ious(name: str) -> None:
    targets = recorded_targets(name, [random_input(96, 128, 3)])
    positive = targets[targets > 0]
    assert len(positive) > 1 and (positive < 1).all()
    assert not targets.requires_grad


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_autocast_trains_close_to_single_precision(dtype: torch.dtype, rounding: float) -> None:
    # without batch statistics, which amplify rounding on so few cells
    options = ("MODEL.RESNETS.NORM", "FixedStatsBN", PRIOR, 0.2)
    inputs = [random_input(96, 128, 4, seed=1), random_input(64, 96, 2, seed=2)]
    exact = small_model(*options).train()(inputs)
    model = small_model(*options).train()
    with torch.autocast("cpu", dtype=dtype):
        losses = model(inputs)
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact[name].item(), rel=rounding), name
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_bad_ground_truth_never_reaches_the_loss(model: nn.Module) -> None:
    item = random_input(96, 128, 2) | {"file_name": "photos/3.jpg"}
    item["instances"].gt_boxes.tensor[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"image photos/3\.jpg: ground-truth box 1 .*not finite"):
        model.train()([item])


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("MODEL.ONE_STAGE.HEAD.NAME", "VFNetHead"),
        ("MODEL.ONE_STAGE.MATCHER.NAME", "ATSSMatcher"),
        ("MODEL.ONE_STAGE.CLS_LOSS.NAME", "VarifocalLoss"),
        ("MODEL.ONE_STAGE.BOX_LOSS.NAME", "GIoULoss"),
    ],
)
def test_an_unknown_part_lists_the_registered(key: str, known: str) -> None:
    with pytest.raises(ValueError, match=rf"{key} is 'Nothing', .*\[.*'{known}'.*\]"):
        small_model(key, "Nothing")


def test_an_unknown_candidate_unit_lists_the_known() -> None:
    known = r"\['pairs', 'points'\]"
    with pytest.raises(ValueError, match=rf"candidate_unit is 'boxes', .*{known}"):
        small_model("MODEL.ONE_STAGE.CANDIDATE_UNIT", "boxes")


@pytest.mark.parametrize("unit", [32, 64])
def test_the_backbone_says_how_far_an_image_is_padded(
    unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch of 128 x 128, an image of 33 x 60 keeps 64 x 64, whatever the pyramid divides."""
    model = small_model()
    monkeypatch.setattr(model.backbone, "_size_divisibility", unit)
    seen = []
    matcher = model.matcher

    def spy(*args: Any, **sizes: Any) -> Any:
        seen.append(sizes)
        return matcher(*args, **sizes)

    model.matcher = spy
    model([random_input(33, 60, 1), random_input(128, 128, 1)])
    assert seen == [{"padded_sizes": [(64, 64), (128, 128)]}]


def test_of_another_backbone_other_anchors_belong_to_the_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_model()
    model.cls_loss.iou_aware = False  # so that anchors without a part are not classified
    counted = {}
    for unit in (32, 64):
        monkeypatch.setattr(model.backbone, "_size_divisibility", unit)
        assignment: list[Any] = []
        model.classified = lambda x, seen=assignment: seen.append(x) or x.labels >= 0
        model([random_input(20, 20, 0), random_input(128, 128, 0)])
        counted[unit] = int((assignment[0].labels[0] >= 0).sum())
    # cells of 8, 16, 32, 64 and 128 pixels in 32 x 32 and in 64 x 64 pixels
    assert counted == {32: 16 + 4 + 1 + 1 + 1, 64: 64 + 16 + 4 + 1 + 1}
