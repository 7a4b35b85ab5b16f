"""Tests of vfnet_d2.modeling.dense.stages."""

import math

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.losses.box import GIoULoss, SmoothL1Loss, paired_iou
from vfnet_d2.modeling.dense.box_coders import LinearDistances
from vfnet_d2.modeling.dense.stages import (
    box_losses,
    class_targets,
    match_stage,
    quality_loss,
)
from vfnet_d2.modeling.dense.structures import DenseBoxes, Matches, assign_each_anchor

ANCHORS = torch.tensor([[0.0, 0, 40, 40], [40.0, 0, 80, 40], [80.0, 0, 120, 40]])
DELTAS = torch.full((2, 3, 4), 0.25)
GT = torch.tensor([[10.0, 10, 30, 40], [50.0, 0, 75, 30]])


def matched(loss: torch.nn.Module) -> tuple[Matches, Tensor]:
    """In the second image the anchors 1 and 0 answer for its boxes 1 and 0; none in the first."""
    labels = torch.tensor([[0, -1, 0], [1, 1, 0]], dtype=torch.int8)
    gt_idxs = torch.tensor([[0, 0, 0], [0, 1, 0]])
    empty, full = Instances((40, 120)), Instances((40, 120))
    empty.gt_boxes, empty.gt_classes = Boxes(torch.zeros(0, 4)), torch.zeros(0, dtype=torch.long)
    full.gt_boxes, full.gt_classes = Boxes(GT), torch.tensor([2, 0])
    return match_stage(
        ANCHORS,
        DenseBoxes([level.transpose(1, 2)[..., None] for level in DELTAS.split([1, 2], dim=1)]),
        assign_each_anchor(gt_idxs, labels),
        [empty, full],
        coder=LinearDistances(),
        loss=loss,
    )


def test_positives_and_what_they_answer_for() -> None:
    matches, _ = matched(GIoULoss())
    assert matches.image.tolist() == [1, 1]
    assert matches.anchor.tolist() == [0, 1]
    assert matches.gt_classes.tolist() == [2, 0]
    assert torch.equal(matches.anchor_boxes, ANCHORS[:2])
    assert torch.equal(matches.gt_boxes, GT)


def test_ious_are_of_the_decoded_boxes() -> None:
    # a quarter of the side 40 around the centres (20, 20) and (60, 20)
    boxes = torch.tensor([[10.0, 10, 30, 30], [50.0, 10, 70, 30]])
    torch.testing.assert_close(matched(GIoULoss())[0].ious, paired_iou(boxes, GT))


def test_a_loss_of_boxes_sees_boxes() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 30], [50.0, 10, 70, 30]])
    torch.testing.assert_close(matched(GIoULoss())[1], GIoULoss()(boxes, GT))


def test_a_loss_of_encodings_sees_deltas() -> None:
    # distances 10 10 10 20 and 10 20 15 10 over 40, against .25: in all .25, and .25 + .125
    torch.testing.assert_close(matched(SmoothL1Loss())[1], torch.tensor([0.25, 0.375]))


def test_targets_are_zero_but_at_the_positives_class() -> None:
    matches, _ = matched(GIoULoss())
    targets = class_targets(matches, torch.tensor([0.5, 0.7]), torch.zeros(2, 3, 4))
    assert targets.nonzero().tolist() == [[1, 0, 2], [1, 1, 0]]
    torch.testing.assert_close(targets[targets > 0], torch.tensor([0.5, 0.7]))


def test_each_stage_s_losses_are_summed_weighted_and_normalised() -> None:
    losses = [torch.tensor([1.0, 2.0]), torch.tensor([4.0])]
    found = box_losses(losses, (1.5, 2.0), torch.tensor([2.0, 4.0]))
    assert found == {"loss_bbox": 2.25, "loss_bbox_refine": 2.0}


def test_every_stage_of_three_has_its_loss() -> None:
    found = box_losses([torch.tensor([x]) for x in (1.0, 2.0, 3.0)], (1, 1, 2), torch.ones(3))
    assert found == {"loss_bbox": 1.0, "loss_bbox_refine": 2.0, "loss_bbox_refine2": 6.0}


def test_one_stage_takes_the_last_weight() -> None:
    found = box_losses([torch.tensor([3.0])], (1.5, 2.0), torch.tensor([1.0]))
    assert found == {"loss_bbox": 6.0}


def test_a_stage_without_a_weight_is_named() -> None:
    with pytest.raises(ValueError, match=r"2 stages of boxes, but box_loss_weights .*\(2\.0,\)"):
        box_losses([torch.ones(1)] * 2, (2.0,), torch.ones(2))


def test_quality_is_compared_at_the_positives() -> None:
    quality = torch.tensor([[0.3, -2.0, 5.0]])
    wanted = torch.tensor([0.25, 0.75])
    places = {"image": torch.tensor([0, 0]), "anchor": torch.tensor([0, 2])}
    matches = Matches(**places, **dict.fromkeys(Matches._fields[2:], torch.zeros(2)))
    expected = -sum(
        w * math.log(1 / (1 + math.exp(-q))) + (1 - w) * math.log(1 - 1 / (1 + math.exp(-q)))
        for q, w in ((0.3, 0.25), (5.0, 0.75))
    )
    assert quality_loss([quality[:, None]], matches, wanted).item() == pytest.approx(
        expected, rel=1e-6
    )
