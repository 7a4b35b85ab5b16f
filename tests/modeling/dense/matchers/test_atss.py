"""Tests of vfnet_d2.modeling.dense.matchers.atss."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from tests.helpers.assignments import gt_idxs
from tests.helpers.atss_cases import anchors_of, anchors_over, random_boxes, targets_of
from tests.helpers.dense_atss import dense_atss
from vfnet_d2.modeling.dense.matchers import atss
from vfnet_d2.modeling.dense.matchers.atss import ATSSMatcher
from vfnet_d2.modeling.dense.matchers.registry import Matcher

CASES = range(9)

Components = dict[str, np.ndarray]


def assigned(matcher: ATSSMatcher, anchors: list[Boxes], *targets: Instances) -> list[np.ndarray]:
    """For each image (R,): -1, 0 or index of the box + 1."""
    found = matcher(anchors, targets, padded_sizes=padded(targets))
    return list(torch.where(found.labels == 1, gt_idxs(found) + 1, found.labels.long()).numpy())


def padded(targets: Sequence[Instances], unit: int = 32) -> list[tuple[int, int]]:
    sizes = [target.image_size for target in targets]
    return [(-(-height // unit) * unit, -(-width // unit) * unit) for height, width in sizes]


def expected(anchors: list[Boxes], target: Instances, **options: Any) -> np.ndarray:
    levels = [boxes.tensor for boxes in anchors]
    return dense_atss(levels, target.gt_boxes.tensor, target.image_size, **options)


def component(case: int, components: Components) -> tuple[list[Boxes], Instances, np.ndarray]:
    """Anchors, ground truth and result of one of the reference's cases."""
    about = json.loads(str(components["meta_json"]))["atss_cases"]
    about = (json.loads(about) if isinstance(about, str) else about)[case]
    anchors = anchors_of([tuple(size) for size in about["feat_hw"]])
    target = targets_of(components[f"atss.{case}.gt"], tuple(about["pad_hw"]))
    return anchors, target, components[f"atss.{case}.gt_inds"]


def tied_boxes(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Whole numbers, centres on cells, between them and on the border; some boxes twice."""
    columns, rows = width // 4, height // 4
    centre = 4 * rng.integers(0, (columns + 1, rows + 1), (count, 2))
    half = rng.integers(1, 24, (count, 2)) * rng.choice([1, 4])
    boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return np.concatenate([boxes, boxes[rng.integers(0, count, count // 4)]])


@pytest.mark.parametrize("case", CASES)
def test_assignment_of_the_reference(case: int, components: Components) -> None:
    anchors, target, stored = component(case, components)
    np.testing.assert_array_equal(assigned(ATSSMatcher(), anchors, target)[0], stored)


@pytest.mark.parametrize("case", CASES)
def test_the_dense_oracle_gives_the_reference_too(case: int, components: Components) -> None:
    anchors, target, stored = component(case, components)
    np.testing.assert_array_equal(expected(anchors, target), stored)


@pytest.mark.parametrize("mistake", [{"unbiased": False}, {"padding_takes_part": True}])
def test_the_reference_s_cases_tell_mistakes_apart(
    mistake: dict[str, bool], components: Components
) -> None:
    differ = []
    for case in CASES:
        anchors, target, stored = component(case, components)
        differ.append((expected(anchors, target, **mistake) != stored).any())
    assert any(differ)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(12))
def test_random_boxes_are_assigned_as_by_the_definition(seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(40, 400, 2))
    anchors = anchors_over(height + 64, width + 96, offset=offset)
    target = targets_of(random_boxes(rng, 25, height, width), (height, width))
    np.testing.assert_array_equal(
        assigned(ATSSMatcher(), anchors, target)[0], expected(anchors, target)
    )


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(12))
def test_ties_are_resolved_as_by_the_definition(seed: int, offset: float) -> None:
    rng = np.random.default_rng(100 + seed)
    height, width = (32 * int(side) for side in rng.integers(1, 10, 2))
    anchors = anchors_over(height, width, offset=offset)
    target = targets_of(tied_boxes(rng, 24, height, width), (height, width))
    np.testing.assert_array_equal(
        assigned(ATSSMatcher(), anchors, target)[0], expected(anchors, target)
    )


@pytest.mark.parametrize("topk", [1, 2, 4, 8, 10, 16, 25])
def test_other_numbers_of_candidates(topk: int) -> None:
    rng = np.random.default_rng(topk)
    anchors = anchors_over(256, 320)
    boxes = np.concatenate([random_boxes(rng, 15, 256, 320), tied_boxes(rng, 16, 256, 320)])
    target = targets_of(boxes, (256, 320))
    np.testing.assert_array_equal(
        assigned(ATSSMatcher(topk=topk), anchors, target)[0],
        expected(anchors, target, topk=topk),
    )


@pytest.mark.parametrize(
    "sizes", [[(1, 1)], [(1, 7)], [(5, 1)], [(1, 12), (1, 6), (1, 1)], [(4, 4), (2, 2), (1, 1)]]
)
def test_maps_smaller_than_the_number_of_candidates(sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(7)
    anchors = anchors_of(sizes)
    size = (8 * sizes[0][0], 8 * sizes[0][1])
    boxes = np.concatenate([random_boxes(rng, 10, *size), tied_boxes(rng, 8, *size)])
    target = targets_of(boxes, size)
    np.testing.assert_array_equal(
        assigned(ATSSMatcher(), anchors, target)[0], expected(anchors, target)
    )


def test_a_hand_made_box_on_one_level() -> None:
    # 3 x 3 cells with stride 8 and anchors of 64: the box is the middle anchor itself. Nine
    # candidates; IoU 1 in the middle, 56/72 beside it, 49/79 diagonally: mean .732, deviation .128
    anchors = anchors_of([(3, 3)])
    (ours,) = assigned(ATSSMatcher(), anchors, targets_of([-24, -24, 40, 40], (24, 24)))
    assert ours.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_padding_of_the_batch_takes_no_part() -> None:
    # an image of 33 x 20 pixels has its own padded size 64 x 32: 8 x 4 cells of the 8 x 8
    anchors = anchors_of([(8, 8)])
    (ours,) = assigned(ATSSMatcher(), anchors, targets_of([], (33, 20)))
    assert (ours.reshape(8, 8)[:, :4] == 0).all() and (ours.reshape(8, 8)[:, 4:] == -1).all()


@pytest.mark.parametrize("unit", [1, 16, 64])
def test_the_padded_size_is_the_caller_s(unit: int) -> None:
    anchors, targets = anchors_of([(16, 16)]), [targets_of([], (33, 20))]
    (labels,) = ATSSMatcher()(anchors, targets, padded_sizes=padded(targets, unit)).labels
    rows, columns = -(-(-(-33 // unit) * unit) // 8), -(-(-(-20 // unit) * unit) // 8)
    assert (labels >= 0).sum() == rows * columns


def test_without_a_padded_size_there_is_no_padding() -> None:
    # of columns at 0, 8, 16, 24 and rows at 0, 8, ... 32, those below 20 and 33 pixels
    (labels,) = ATSSMatcher()(anchors_of([(8, 8)]), [targets_of([], (33, 20))]).labels
    assert (labels >= 0).sum() == 3 * 5


def test_of_equal_boxes_the_first_wins() -> None:
    anchors = anchors_over(128, 128)
    box = [20.0, 30.0, 90.0, 100.0]
    (ours,) = assigned(ATSSMatcher(), anchors, targets_of([box, box, box], (128, 128)))
    assert set(ours.tolist()) == {0, 1}


def test_a_contested_point_goes_to_the_higher_iou() -> None:
    # both boxes want the middle anchor (-24, -24, 40, 40); the second is that anchor
    anchors = anchors_of([(3, 3)])
    boxes = [[-24, -24, 40, 36], [-24, -24, 40, 40]]
    (ours,) = assigned(ATSSMatcher(), anchors, targets_of(boxes, (24, 24)))
    assert ours.reshape(3, 3)[1, 1] == 2


@pytest.mark.parametrize(("margin", "positive"), [(0.005, False), (0.02, True)])
def test_a_centre_must_lie_inside_by_a_hundredth_of_a_pixel(margin: float, positive: bool) -> None:
    anchors = anchors_of([(1, 1)])
    box = [-margin, -20.0, 40.0, 20.0]
    (ours,) = assigned(ATSSMatcher(), anchors, targets_of(box, (8, 8)))
    assert ours.tolist() == [int(positive)]


def test_images_of_a_batch_are_assigned_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    anchors = anchors_over(320, 384)
    sizes, counts = [(320, 200), (64, 384), (100, 100), (320, 384)], [12, 0, 1, 30]
    targets = [
        targets_of(random_boxes(rng, count, *size), size)
        for size, count in zip(sizes, counts, strict=True)
    ]
    together = assigned(ATSSMatcher(), anchors, *targets)
    alone = [assigned(ATSSMatcher(), anchors, target)[0] for target in targets]
    np.testing.assert_array_equal(together, alone)


def test_blocks_of_boxes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    anchors = anchors_over(256, 320)
    # the blocks divide images, and equal boxes of one
    boxes = np.concatenate([random_boxes(rng, 15, 256, 320), tied_boxes(rng, 24, 256, 320)])
    targets = [targets_of(boxes, (256, 320)), targets_of(boxes[::-1].copy(), (256, 320))]
    monkeypatch.setattr(atss, "BLOCK", 7)
    for ours, target in zip(assigned(ATSSMatcher(), anchors, *targets), targets, strict=True):
        np.testing.assert_array_equal(ours, expected(anchors, target))


def test_three_thousand_boxes_are_assigned_as_by_the_definition() -> None:
    rng = np.random.default_rng(6)
    anchors = anchors_over(256, 320)
    target = targets_of(random_boxes(rng, 3000, 256, 320), (256, 320))
    np.testing.assert_array_equal(
        assigned(ATSSMatcher(), anchors, target)[0], expected(anchors, target)
    )


def test_without_boxes_everything_is_negative() -> None:
    anchors = anchors_over(64, 64)
    found = ATSSMatcher()(anchors, [targets_of([], (64, 64))] * 2)
    count = sum(len(boxes) for boxes in anchors)
    assert found.labels.shape == (2, count) and len(found.gt) == 0
    assert (found.labels == 0).all()


def test_types_of_the_result() -> None:
    found = ATSSMatcher()(anchors_over(64, 64), [targets_of([8, 8, 50, 50], (64, 64))])
    assert found.labels.dtype == torch.int8
    assert {x.dtype for x in found[1:]} == {torch.int64}


def test_anchors_off_the_grid_are_refused() -> None:
    anchors = anchors_of([(3, 3)])
    anchors[0] = Boxes(anchors[0].tensor[:8])
    with pytest.raises(ValueError, match="8 anchors of level 0 are not a regular row-major grid"):
        ATSSMatcher()(anchors, [targets_of([], (24, 24))])


def test_no_candidate_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="topk is 0, but must be at least 1"):
        ATSSMatcher(topk=0)


def test_fits_the_protocol() -> None:
    assert isinstance(ATSSMatcher(), Matcher)
