"""Tests of vfnet_d2.modeling.dense.matchers.max_iou."""

import numpy as np
import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher as TheirMatcher
from detectron2.structures import Boxes, pairwise_iou
from torch import Tensor

from tests.helpers.assignments import gt_idxs
from tests.helpers.atss_cases import anchors_over, random_boxes, targets_of
from vfnet_d2.modeling.dense.matchers import max_iou
from vfnet_d2.modeling.dense.matchers.max_iou import MaxIoUMatcher
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY, Matcher

SIZE = (128, 160)


def nine_anchors(height: int, width: int) -> list[Boxes]:
    """RetinaNet's anchors on three levels of an image of that size."""
    strides = (8, 16, 32)
    generator = DefaultAnchorGenerator(
        sizes=[[4 * s * 2 ** (k / 3) for k in range(3)] for s in strides],
        aspect_ratios=[[0.5, 1.0, 2.0]],
        strides=strides,
        offset=0.0,
    )
    return generator([torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in strides])


def naive(anchors: Tensor, boxes: Tensor) -> tuple[list[int], list[int]]:
    """Labels, and boxes of the positives, rule by rule (MMDetection's order)."""
    ious = pairwise_iou(Boxes(boxes), Boxes(anchors)).tolist()
    labels, owners = [], []
    for anchor in range(len(anchors)):
        column = [row[anchor] for row in ious]
        best = max(column)
        labels.append(1 if best >= 0.5 else 0 if best < 0.4 else -1)
        owners.append(column.index(best))
    for number, row in enumerate(ious):
        highest = max(row)
        for anchor, value in enumerate(row):
            if value == highest > 0:
                labels[anchor], owners[anchor] = 1, number
    return labels, [owner for owner, label in zip(owners, labels, strict=True) if label == 1]


def random_case(seed: int) -> tuple[list[Boxes], Tensor]:
    boxes = torch.from_numpy(random_boxes(np.random.default_rng(seed), 12, *SIZE))
    # Pairs of almost equal boxes have a best anchor in common.
    return nine_anchors(*SIZE), torch.cat([boxes, boxes[:4] + 0.25])


def test_is_a_registered_matcher() -> None:
    assert isinstance(MATCHER_REGISTRY.get("MaxIoUMatcher")(), Matcher)


@pytest.mark.parametrize("seed", range(3))
def test_matches_the_naive_rules(seed: int) -> None:
    anchors, boxes = random_case(seed)
    found = MaxIoUMatcher()(anchors, [targets_of(boxes, SIZE)])
    labels, owners = naive(Boxes.cat(anchors).tensor, boxes)
    assert found.labels[0].tolist() == labels
    assert found.gt.tolist() == owners
    assert {-1, 0, 1} == set(labels)


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_those_of_detectron2_s_matcher(seed: int) -> None:
    anchors, boxes = random_case(seed)
    found = MaxIoUMatcher()(anchors, [targets_of(boxes, SIZE)])
    rule = TheirMatcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)
    _, labels = rule(pairwise_iou(Boxes(boxes), Boxes.cat(anchors)))
    assert found.labels[0].tolist() == labels.tolist()


def test_the_best_anchor_of_two_boxes_goes_to_the_last() -> None:
    # one anchor, 10 x 10: the first box fills it, the second covers its left half
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 10.0, 10.0]]))]
    boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 5.0, 10.0]]
    found = MaxIoUMatcher()(anchors, [targets_of(boxes, (32, 32))])
    assert (found.labels.tolist(), gt_idxs(found).tolist()) == ([[1]], [[1]])


@pytest.mark.parametrize("boxes_at_a_time", [1, 2])
def test_of_equal_boxes_the_first_keeps_what_is_no_best_anchor(
    boxes_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first anchor is the best of both boxes; the second has IoU 10 * 8 / 120 = 2 / 3 with both.
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 2.0, 10.0, 12.0]]))]
    monkeypatch.setattr(max_iou, "MAX_PAIRS", 2 * boxes_at_a_time)
    found = MaxIoUMatcher()(anchors, [targets_of([[0.0, 0.0, 10.0, 10.0]] * 2, (32, 32))])
    assert (found.labels.tolist(), gt_idxs(found).tolist()) == ([[1, 1]], [[1, 0]])


def test_a_box_that_meets_no_anchor_claims_none() -> None:
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0]]))]
    found = MaxIoUMatcher()(anchors, [targets_of([[0.0, 20.0, 10.0, 30.0]], (32, 32))])
    assert found.labels.tolist() == [[0, 0]]


def test_only_the_image_s_own_padding_takes_part() -> None:
    # The batch is 64 x 96. The first image is 33 x 40, so 64 x 64 with its own padding: the first
    # 8 of the 12 columns of stride 8 take part, 4 of the 6 of stride 16, 2 of the 3 of stride 32.
    anchors = nine_anchors(64, 96)
    images = [targets_of([], size) for size in ((33, 40), (64, 96))]
    found = MaxIoUMatcher()(anchors, images, padded_sizes=[(64, 64), (64, 96)])
    masks = [torch.zeros(rows, 3 * rows // 2, 9) for rows in (8, 4, 2)]
    for mask in masks:
        mask[:, mask.shape[0] :] = -1
    assert found.labels[0].tolist() == torch.cat([m.flatten() for m in masks]).tolist()
    assert (found.labels[1] == 0).all()


def test_an_anchor_in_the_padding_is_no_box_s_best() -> None:
    # Anchors of side 8 around multiples of 8. The one around (32, 0) covers a third of the box, but
    # belongs to the padding of an image of 32 x 32; the one around (24, 0) covers a sixth.
    generator = DefaultAnchorGenerator(sizes=[[8]], aspect_ratios=[[1.0]], strides=[8], offset=0.0)
    anchors = generator([torch.zeros(1, 1, 8, 8)])
    box = [[26.0, 0.0, 32.0, 4.0]]
    found = MaxIoUMatcher()(anchors, [targets_of(box, (32, 32))])
    assert anchors[0].get_centers()[found.labels[0] == 1].tolist() == [[24.0, 0.0]]


def test_the_first_cell_of_a_coarse_level_always_takes_part() -> None:
    # Its centre, half a stride of 128 away, lies outside 32 x 32 pixels.
    anchors = anchors_over(32, 32, offset=0.5)
    found = MaxIoUMatcher()(anchors, [targets_of([], (32, 32))])
    assert found.labels[0, -1] == 0


def test_without_boxes_all_anchors_are_negative() -> None:
    found = MaxIoUMatcher()(nine_anchors(*SIZE), [targets_of([], SIZE)])
    assert (found.labels == 0).all() and found.gt.dtype == torch.int64


def test_predictions_are_matched_in_the_place_of_their_anchors() -> None:
    anchors, boxes = random_case(0)
    predicted = Boxes(Boxes.cat(anchors).tensor + 5)
    found = MaxIoUMatcher()(anchors, [targets_of(boxes, SIZE)], [predicted])
    labels, owners = naive(predicted.tensor, boxes)
    assert found.labels[0].tolist() == labels
    assert found.gt.tolist() == owners


def test_few_boxes_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, boxes = random_case(1)
    whole = MaxIoUMatcher()(anchors, [targets_of(boxes, SIZE)])
    sizes: list[int] = []

    def counted(some: Boxes, others: Boxes) -> Tensor:
        sizes.append(len(some))
        return pairwise_iou(some, others)

    monkeypatch.setattr(max_iou, "pairwise_iou", counted)
    monkeypatch.setattr(max_iou, "MAX_PAIRS", 3 * sum(len(x) for x in anchors))
    parts = MaxIoUMatcher()(anchors, [targets_of(boxes, SIZE)])
    assert sizes == [3, 3, 3, 3, 3, 1]
    assert torch.equal(parts.labels, whole.labels)
    assert torch.equal(parts.gt, whole.gt)


@pytest.mark.parametrize("wrong", [{"negative_iou": 0.6}, {"negative_iou": 0.0}])
def test_impossible_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be below"):
        MaxIoUMatcher(**wrong)
