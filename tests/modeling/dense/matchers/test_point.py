"""Tests of vfnet_d2.modeling.dense.matchers.point."""

import math

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances
from torch import Tensor

from tests.helpers.assignments import gt_idxs
from vfnet_d2.modeling.dense.matchers.point import PointMatcher
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY, Matcher

STRIDES = (8, 16, 32)
SIZE = (64, 96)


def anchors(height: int, width: int) -> list[Boxes]:
    """Square anchors of four strides at the cells of three levels."""
    generator = DefaultAnchorGenerator(
        sizes=[[4 * s] for s in STRIDES], aspect_ratios=[[1.0]], strides=STRIDES, offset=0.0
    )
    return generator([torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in STRIDES])


def targets(boxes: list[list[float]], size: tuple[int, int] = SIZE) -> Instances:
    result = Instances(size)
    result.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    result.gt_classes = torch.zeros(len(boxes), dtype=torch.long)
    return result


def positives(labels: Tensor, owners: Tensor) -> dict[tuple[int, int, int], int]:
    """Box by (level, column, row), of the anchors of SIZE."""
    found, start = {}, 0
    for level, stride in enumerate(STRIDES):
        columns, rows = SIZE[1] // stride, SIZE[0] // stride
        for cell in range(columns * rows):
            if labels[start + cell] == 1:
                found[level, cell % columns, cell // columns] = int(owners[start + cell])
        start += columns * rows
    return found


def match(boxes: list[list[float]], **options: int) -> dict[tuple[int, int, int], int]:
    result = PointMatcher(**options)(anchors(*SIZE), [targets(boxes)])
    return positives(result.labels[0], gt_idxs(result)[0])


def naive(boxes: list[list[float]], topk: int) -> dict[tuple[int, int, int], int]:
    """Box after box: the level by the mean logarithm of its sides, then the nearest cells."""
    taken: dict[tuple[int, int, int], tuple[float, int]] = {}
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        w, h = x2 - x1, y2 - y1
        exponent = math.floor((math.log2(w / 4) + math.log2(h / 4)) / 2)
        level = min(max(exponent, 3), 5) - 3
        stride = STRIDES[level]
        cells = [
            (math.hypot((c * stride - (x1 + x2) / 2) / w, (r * stride - (y1 + y2) / 2) / h), c, r)
            for r in range(SIZE[0] // stride)
            for c in range(SIZE[1] // stride)
        ]
        for distance, c, r in sorted(cells)[:topk]:
            if distance < taken.get((level, c, r), (math.inf, 0))[0]:
                taken[level, c, r] = (distance, number)
    return {cell: number for cell, (_, number) in taken.items()}


@pytest.mark.parametrize("topk", [1, 4])
def test_like_box_after_box(topk: int) -> None:
    generator = torch.Generator().manual_seed(topk)
    boxes = []
    for _ in range(40):
        x, y, w, h = (torch.rand(4, generator=generator) * torch.tensor([40, 30, 50, 30])).tolist()
        boxes.append([x, y, x + w + 4, y + h + 4])
    assert match(boxes, topk=topk) == naive(boxes, topk)


@pytest.mark.parametrize(
    ("side", "level"), [(3.0, 0), (63.9, 0), (64.0, 1), (127.0, 1), (128.0, 2), (2000.0, 2)]
)
def test_level_by_size(side: float, level: int) -> None:
    # anchors of 32, 64 and 128 pixels; around (32, 32), which is a cell of every level
    (cell,) = match([[32 - side / 2, 32 - side / 2, 32 + side / 2, 32 + side / 2]])
    assert cell == (level, 32 // STRIDES[level], 32 // STRIDES[level])


def test_distance_is_in_units_of_the_sides() -> None:
    # Around (21, 13), 80 wide and 20 high. Columns 3, 2, 4 and 1 are 3, 5, 11 and 13 pixels away:
    # .04, .06, .14 and .16 widths. Rows 2 and 1 are 3 and 5 away: .15 and .25 heights. So row 2
    # has the four nearest, at .15 to .22; in pixels, two of them would be in row 1.
    assert match([[-19.0, 3, 61, 23]], topk=4) == {(0, c, 2): 0 for c in (1, 2, 3, 4)}


def test_a_cell_of_two_boxes_goes_to_the_nearer() -> None:
    # both around the cell (4, 4) at (32, 32): the second misses it by less
    assert match([[20.0, 20, 50, 50], [20.0, 20, 46, 46]]) == {(0, 4, 4): 1}


def test_padding_takes_no_part() -> None:
    # 40 pixels are padded to 64 of the batch's 96: four of the twelve columns of 8 are beyond, ...
    image = targets([[58.0, 10, 64, 40]], size=(64, 40))
    result = PointMatcher()(anchors(*SIZE), [image], padded_sizes=[(64, 64)])
    outside = [
        column * stride >= 64
        for stride in STRIDES
        for _ in range(SIZE[0] // stride)
        for column in range(SIZE[1] // stride)
    ]
    assert (result.labels[0] == -1).tolist() == outside
    # ... and a box around x = 61 gets the column at 56, since the one at 64 is there
    assert positives(result.labels[0], gt_idxs(result)[0]) == {(0, 7, 3): 0}


def test_images_are_matched_each_for_itself() -> None:
    images = [targets([]), targets([[20.0, 20, 46, 46]])]
    result = PointMatcher()(anchors(*SIZE), images)
    assert not (result.labels[0] != 0).any()
    assert positives(result.labels[1], gt_idxs(result)[1]) == {(0, 4, 4): 0}


def test_no_cell_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="topk is 0, but must be at least 1"):
        PointMatcher(topk=0)


def test_is_registered_and_fits_the_protocol() -> None:
    assert MATCHER_REGISTRY.get("PointMatcher") is PointMatcher
    assert isinstance(PointMatcher(), Matcher)
