"""Tests of vfnet_d2.modeling.dense.matchers.own_padding."""

from typing import Any

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, ImageList

from tests.helpers.atss_cases import anchors_over
from vfnet_d2.modeling.dense.matchers.grid import anchor_grid
from vfnet_d2.modeling.dense.matchers.own_padding import inside_own_padding, open_cells, pad_sizes


class FakeBackbone:
    """Has what a backbone of Detectron2 says of its padding."""

    def __init__(self, size_divisibility: int, constraints: dict[str, int] | None = None) -> None:
        self.size_divisibility = size_divisibility
        self.padding_constraints = constraints or {}


@pytest.mark.parametrize("unit", [0, 1, 16, 32, 128])
def test_an_image_is_padded_as_detectron2_pads_it_alone(unit: int) -> None:
    sizes = [(33, 20), (64, 64), (1, 129)]
    alone = [
        tuple(ImageList.from_tensors([torch.zeros(3, *size)], unit).tensor.shape[-2:])
        for size in sizes
    ]
    assert pad_sizes(FakeBackbone(unit), sizes) == alone


def test_constraints_of_newer_backbones_count() -> None:
    # 100 rounded up to 16 is 112, in squares whatever the image; or 33 to 40 and 20 to 24
    square = FakeBackbone(32, {"square_size": 100, "size_divisibility": 16})
    assert pad_sizes(square, [(33, 20), (64, 64)]) == [(112, 112)] * 2
    assert pad_sizes(FakeBackbone(32, {"size_divisibility": 8}), [(33, 20)]) == [(40, 24)]
    assert pad_sizes(FakeBackbone(32, {"square_size": 0}), [(33, 20)]) == [(64, 32)]


def test_backbones_of_older_versions_have_no_constraints() -> None:
    backbone: Any = FakeBackbone(16)
    del backbone.padding_constraints
    assert pad_sizes(backbone, [(33, 20)]) == [(48, 32)]


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_centres_inside_take_part_and_the_first_of_a_level(offset: float) -> None:
    anchors = anchors_over(256, 320, offset=offset)
    sizes = [(64, 96), (256, 320), (32, 32)]
    found = inside_own_padding(anchors, sizes)
    for image, (height, width) in enumerate(sizes):
        expected = []
        for boxes, stride in zip(anchors, (8, 16, 32, 64, 128), strict=True):
            for x, y in boxes.get_centers().tolist():
                first = offset * stride
                expected.append((x < width or x == first) and (y < height or y == first))
        assert found[image].tolist() == expected


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_columns_and_rows_are_those_of_the_anchors(offset: float) -> None:
    anchors = anchors_over(256, 320, offset=offset)
    sizes = [(64, 96), (256, 320), (32, 32), (33, 57), (1, 1)]
    cells = open_cells(anchor_grid(anchors), sizes)
    inside = inside_own_padding(anchors, sizes)
    start = 0
    for level, boxes in enumerate(anchors):
        mask = inside[:, start : start + len(boxes)]
        start += len(boxes)
        assert mask.sum(dim=1).tolist() == cells[:, level].prod(dim=1).tolist()


def test_centres_off_by_the_rounding_of_their_corners_count_as_where_they_are() -> None:
    # sides of no whole number: some centres around 16 lie a millionth of a pixel before it
    generator = DefaultAnchorGenerator(
        sizes=[[32.0 * 2 ** (k / 3) for k in range(3)]],
        aspect_ratios=[[0.5, 1.0, 2.0]],
        strides=[8],
        offset=0.0,
    )
    anchors = generator([torch.zeros(1, 1, 8, 8)])
    centres = anchors[0].get_centers().view(8, 8, 9, 2)
    assert (centres[0, 2, :, 0] < 16).any()
    inside = inside_own_padding(anchors, [(64, 16)])[0].view(8, 8, 9)
    assert inside[:, :2].all() and not inside[:, 2:].any()


def test_one_anchor_takes_part() -> None:
    anchors = [Boxes(torch.tensor([[90.0, 90.0, 110.0, 110.0]]))]
    assert inside_own_padding(anchors, [(32, 32)]).tolist() == [[True]]
