"""Tests of vfnet_d2.modeling.dense.matchers.fovea."""

import math

import numpy as np
import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from tests.helpers.assignments import gt_idxs
from tests.helpers.atss_cases import STRIDES, anchors_over, random_boxes, targets_of
from vfnet_d2.modeling.dense.matchers.fovea import FoveaMatcher
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY, Matcher

SIZE = (128, 160)
RANGES = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))

Cell = tuple[int, int, int]  # level, row, column


def grids(height: int, width: int) -> list[tuple[int, int]]:
    return [(-(-height // stride), -(-width // stride)) for stride in STRIDES]


def match(*images: list[list[float]], size: tuple[int, int] = SIZE) -> list[dict[Cell, int]]:
    """Box of each positive cell, by image."""
    anchors = anchors_over(*size, offset=0.5)
    found = FoveaMatcher()(anchors, [targets_of(boxes, size) for boxes in images])
    cells = [
        (level, row, column)
        for level, (rows, columns) in enumerate(grids(*size))
        for row in range(rows)
        for column in range(columns)
    ]
    assert set(found.labels.unique().tolist()) <= {0, 1}
    return [
        {cell: g for cell, g, label in zip(cells, gts, labels, strict=True) if label == 1}
        for gts, labels in zip(gt_idxs(found).tolist(), found.labels.tolist(), strict=True)
    ]


def naive(boxes: np.ndarray) -> dict[Cell, int]:
    """Paint the foveae, the largest box first, in stride units."""
    painted: dict[Cell, int] = {}
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    for level, (rows, columns) in enumerate(grids(*SIZE)):
        for number in np.argsort(-sides, kind="stable"):
            if not RANGES[level][0] <= sides[number] <= RANGES[level][1]:
                continue
            x1, y1, x2, y2 = boxes[number] / np.float32(STRIDES[level])
            span = []
            for low, high, cells in ((x1, x2, columns), (y1, y2, rows)):
                middle, half = (low + high) / 2, 0.4 * (high - low) / 2
                first, last = math.ceil(middle - half - 0.5), math.floor(middle + half - 0.5)
                span.append(range(min(max(first, 0), cells - 1), min(max(last, 0), cells - 1) + 1))
            painted |= {(level, row, column): int(number) for row in span[1] for column in span[0]}
    return painted


def test_is_a_registered_matcher() -> None:
    assert isinstance(MATCHER_REGISTRY.get("FoveaMatcher")(), Matcher)


def test_a_fovea_by_hand() -> None:
    # Side 64, so levels 0 (to 64), 1 (32 to 128) and 2 (from 64). The fovea is 64 +- 12.8, that is
    # 51.2 to 76.8. Centres: 52, 60, 68, 76 of stride 8; 56, 72 of stride 16; 48, 80 of stride 32.
    [found] = match([[32.0, 32.0, 96.0, 96.0]])
    expected = {(0, row, column) for row in range(6, 10) for column in range(6, 10)}
    expected |= {(1, row, column) for row in (3, 4) for column in (3, 4)}
    assert found == dict.fromkeys(expected, 0)


@pytest.mark.parametrize("seed", range(4))
def test_matches_painting_box_by_box(seed: int) -> None:
    boxes = random_boxes(np.random.default_rng(seed), 25, *SIZE).clip(0, 160)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 1).all(1)]
    expected = naive(boxes)
    assert match(boxes.tolist()) == [expected]
    assert len(set(expected.values())) > 5 and len({level for level, *_ in expected}) > 1


def test_the_smaller_of_overlapping_boxes_wins_whatever_their_order() -> None:
    large, small = [40.0, 40.0, 100.0, 100.0], [60.0, 60.0, 80.0, 80.0]
    # The centre cell of both, (68, 68) with stride 8, is in the small one's fovea, 66 to 74.
    assert [image[0, 8, 8] for image in match([large, small], [small, large])] == [1, 0]


def test_the_last_of_equally_large_boxes_wins() -> None:
    box = [60.0, 60.0, 80.0, 80.0]
    assert match([box, box]) == [{(0, 8, 8): 1}]


def test_images_do_not_mix() -> None:
    box, other = [60.0, 60.0, 80.0, 80.0], [20.0, 20.0, 40.0, 40.0]
    alone = [match([box])[0], match([other])[0]]
    assert match([box], [], [other]) == [alone[0], {}, alone[1]]


def test_a_fovea_beyond_the_last_centre_takes_the_border() -> None:
    # The fovea, 157.9 to 159.1, lies right of 156, the centre of the last of the 20 columns. This
    # is taken although it lies outside of the box. Rows: 58.4 to 61.6 holds the centre 60.
    assert match([[157.0, 56.0, 160.0, 64.0]]) == [{(0, 7, 19): 0}]


def test_a_batch_without_boxes_has_no_positive() -> None:
    assert match([], []) == [{}, {}]


def test_one_range_a_level_is_needed() -> None:
    with pytest.raises(ValueError, match="has 5 scale_ranges, but the head reads 2 levels"):
        FoveaMatcher()(anchors_over(64, 64)[:2], [targets_of([], (64, 64))])


def test_one_anchor_a_cell_is_needed() -> None:
    generator = DefaultAnchorGenerator(sizes=[[8, 16]], aspect_ratios=[[1.0]], strides=[8])
    with pytest.raises(ValueError, match="one anchor a cell"):
        FoveaMatcher(scale_ranges=[(1, 64)])(
            generator([torch.zeros(1, 1, 4, 4)]), [targets_of([], (32, 32))]
        )


@pytest.mark.parametrize("wrong", [{"sigma": 0.0}, {"sigma": 1.5}, {"scale_ranges": [(64, 32)]}])
def test_impossible_arguments_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        FoveaMatcher(**wrong)  # type: ignore[arg-type]
