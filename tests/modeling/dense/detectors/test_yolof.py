"""Tests of vfnet_d2.modeling.dense.detectors.yolof."""

from typing import Any

import pytest
import torch
from detectron2.config import instantiate
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from tests.helpers.shrink import shrunk_config
from tests.helpers.small_model import random_input
from vfnet_d2.model_zoo import get_config
from vfnet_d2.modeling.dense.detectors.yolof import YOLOF
from vfnet_d2.modeling.dense.structures import Assignment, DenseBoxes, HeadOutputs

CONFIG = "yolof/yolof_R_50_C5_1x"


@pytest.fixture
def model() -> nn.Module:
    return build_model(shrunk_config(CONFIG)).double()


class Pairs:
    """A matcher that gives what it is told."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def __call__(self, *args: Any, **kwargs: Any) -> Assignment:
        """Look at nothing."""
        return self.assignment


def told(labels: list[list[int]], *pairs: tuple[int, int, int]) -> Assignment:
    image, anchor, gt = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 3).unbind(1)
    return Assignment(torch.tensor(labels, dtype=torch.int8), image, anchor, gt)


def one_cell(model: nn.Module, assignment: Assignment, deltas: Tensor) -> dict[str, Tensor]:
    """Losses of two images of one cell, five anchors, with two objects each."""
    model.matcher = Pairs(assignment)
    boxes = torch.tensor([[0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 30.0, 20.0]]).double()
    targets = [
        Instances((32, 32), gt_boxes=Boxes(boxes), gt_classes=torch.tensor([1, 3]))
        for _ in range(2)
    ]
    logits = torch.zeros(2, 5 * model.num_classes, 1, 1).double()
    outputs = HeadOutputs(logits=[logits], boxes=[DenseBoxes([deltas])])
    losses: dict[str, Tensor] = model.losses(outputs, targets)
    return losses


LABELS = [[1, -1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_is_registered() -> None:
    assert META_ARCH_REGISTRY.get("YOLOF") is YOLOF


def test_a_pair_that_occurs_twice_counts_twice_for_the_boxes(model: nn.Module) -> None:
    deltas = torch.randn(2, 20, 1, 1).double() * 0.1
    once = one_cell(model, told(LABELS, (0, 0, 0)), deltas)
    twice = one_cell(model, told(LABELS, (0, 0, 0), (0, 0, 0)), deltas)
    torch.testing.assert_close(twice["loss_bbox"], 2 * once["loss_bbox"])
    torch.testing.assert_close(twice["loss_cls"], once["loss_cls"])


def test_an_ignored_anchor_s_pairs_count_for_the_boxes_alone(model: nn.Module) -> None:
    deltas = torch.randn(2, 20, 1, 1).double() * 0.1
    without = one_cell(model, told(LABELS, (0, 0, 0)), deltas)
    more = one_cell(model, told(LABELS, (0, 0, 0), (0, 1, 1)), deltas)
    assert more["loss_bbox"] > without["loss_bbox"]
    torch.testing.assert_close(more["loss_cls"], without["loss_cls"])


def test_both_losses_are_divided_by_one_anchor_an_image_at_least(model: nn.Module) -> None:
    """Image 0 has one positive anchor with three pairs, image 1 none: N is 1 + 1."""
    deltas = torch.zeros(2, 20, 1, 1).double()
    losses = one_cell(model, told(LABELS, (0, 0, 1), (0, 0, 0), (0, 0, 0)), deltas)
    # The anchor of 32 pixels around the origin, (-16, -16, 16, 16), against the two boxes:
    # intersections 256 and 256, unions 1024 and 1368, enclosing boxes 1024 and 46 x 36.
    first = 1 - 256 / 1024
    second = 1 - (256 / 1368 - (46 * 36 - 1368) / (46 * 36))
    assert losses["loss_bbox"].item() == pytest.approx((2 * first + second) / 2)


def test_an_anchor_of_two_objects_is_of_the_last_one_s_class(model: nn.Module) -> None:
    targets = []
    model.cls_loss.forward = lambda logits, wanted: targets.append(wanted) or logits.sum()
    one_cell(model, told(LABELS, (0, 0, 1), (0, 0, 0)), torch.zeros(2, 20, 1, 1).double())
    # The ignored anchor is not among the nine that count.
    assert targets[0].shape == (9, model.num_classes)
    assert targets[0].nonzero().tolist() == [[0, 1]]


def test_an_iou_aware_target_is_the_iou_with_the_last_object(model: nn.Module) -> None:
    targets = []
    model.cls_loss.forward = lambda logits, wanted: targets.append(wanted) or logits.sum()
    model.cls_loss.iou_aware = True
    one_cell(model, told(LABELS, (0, 0, 1), (0, 0, 0)), torch.zeros(2, 20, 1, 1).double())
    assert targets[0].sum().item() == pytest.approx(256 / 1024)
    one_cell(model, told(LABELS, (0, 0, 0), (0, 0, 1)), torch.zeros(2, 20, 1, 1).double())
    assert targets[1].sum().item() == pytest.approx(256 / 1368)


def test_the_matcher_sees_decoded_predictions(model: nn.Module) -> None:
    seen = []
    matcher = model.matcher

    def recorded(*args: Any, **kwargs: Any) -> Assignment:
        seen.append((args, kwargs))
        return matcher(*args, **kwargs)

    model.matcher = recorded
    model.train()([random_input(64, 96, 2, seed=1), random_input(40, 40, 2, seed=2)])
    (((anchors, _, predicted), sizes),) = seen
    assert sizes == {"padded_sizes": [(64, 96), (64, 64)]}
    assert len(predicted) == 2 and not predicted[0].tensor.requires_grad
    assert predicted[0].tensor.shape == anchors[0].tensor.shape == (2 * 3 * 5, 4)
    assert not torch.equal(predicted[0].tensor, anchors[0].tensor)


def test_another_number_of_anchors_than_the_head_s_is_refused() -> None:
    lazy = get_config(CONFIG, suffix=".py").model
    lazy.anchor_generator.sizes = [[32, 64]]
    lazy.backbone.bottom_up.depth = 18
    with pytest.raises(ValueError, match=r"predicts 5 boxes a cell.*makes \[2\] anchors"):
        instantiate(lazy)
