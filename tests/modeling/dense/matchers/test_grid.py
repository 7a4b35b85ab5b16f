"""Tests of vfnet_d2.modeling.dense.matchers.grid."""

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes

from vfnet_d2.modeling.dense.matchers.grid import anchor_grid


def anchors_of(
    sizes: list[tuple[int, int]], *, offset: float = 0.0, ratios: tuple[float, ...] = (1.0,)
) -> list[Boxes]:
    """Anchors of strides 8, 16, ... over maps of these heights and widths."""
    strides = [8 * 2**level for level in range(len(sizes))]
    generator = DefaultAnchorGenerator(
        sizes=[[8 * s] for s in strides], aspect_ratios=[ratios], strides=strides, offset=offset
    )
    return generator([torch.zeros(1, 1, *size) for size in sizes])


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_recovers_origin_step_and_size(offset: float) -> None:
    grid = anchor_grid(anchors_of([(6, 5), (3, 2)], offset=offset))
    assert grid.origin.tolist() == [[8 * offset] * 2, [16 * offset] * 2]
    assert grid.step.tolist() == [[8, 8], [16, 16]]
    assert grid.size.tolist() == [[5, 6], [2, 3]]
    assert grid.start.tolist() == [0, 30]


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_recovers_maps_of_one_row_or_column(size: tuple[int, int]) -> None:
    grid = anchor_grid(anchors_of([size]))
    assert grid.size.tolist() == [[size[1], size[0]]]
    assert (grid.step > 0).all()


def test_several_anchors_a_cell_are_refused() -> None:
    with pytest.raises(
        ValueError, match="level 0 are not a regular row-major grid with one anchor"
    ):
        anchor_grid(anchors_of([(3, 3)], ratios=(0.5, 1.0)))


def test_a_column_major_grid_is_refused() -> None:
    (anchors,) = anchors_of([(3, 4)])
    columns_first = Boxes(anchors.tensor.view(3, 4, 4).transpose(0, 1).reshape(12, 4))
    with pytest.raises(ValueError, match="not a regular row-major grid"):
        anchor_grid([columns_first])


def test_a_hole_in_the_grid_is_refused() -> None:
    (anchors,) = anchors_of([(3, 4)])
    with pytest.raises(ValueError, match="not a regular row-major grid"):
        anchor_grid([Boxes(anchors.tensor[[*range(5), *range(6, 12)]])])


def test_an_empty_level_is_named() -> None:
    with pytest.raises(ValueError, match="level 1 has no anchors"):
        anchor_grid([*anchors_of([(2, 2)]), Boxes(torch.zeros(0, 4))])
