"""Tests of vfnet_d2.modeling.dense.matchers.window_search: equal to a search of every cell."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes
from torch import Tensor

from tests.helpers.atss_cases import anchors_of, anchors_over
from tests.helpers.dense_search import nearest_of_all
from vfnet_d2.modeling.dense.matchers.grid import AnchorGrid, anchor_grid
from vfnet_d2.modeling.dense.matchers.window_search import nearest_in_window

GRIDS = {
    "full size": anchors_over(800, 1344),
    "half a cell off": anchors_over(256, 320, offset=0.5),
    "a single cell, row and column": anchors_of([(1, 40), (40, 1), (1, 1)]),
}

both = pytest.mark.parametrize("search", [nearest_of_all, nearest_in_window])


def around(grid: AnchorGrid, count: int, *, whole: bool) -> Tensor:
    """Boxes with centres in the grid, around it, and far outside; whole numbers make ties."""
    rng = np.random.default_rng(count)
    extent = (grid.origin + grid.step * grid.size).amax(dim=0).numpy()
    centre = rng.uniform(-0.2 * extent - 20, 1.2 * extent + 20, (count, 2))
    centre[: count // 10] *= 1000
    if whole:
        centre = 4 * np.round(centre / 4)
    half = rng.integers(1, 300, (count, 2))
    return torch.tensor(np.concatenate([centre - half, centre + half], axis=1)).float()


def level_sets(grid: AnchorGrid, index: Tensor, exists: Tensor) -> list[list[list[int]]]:
    """For each box and level, the indices in the order they were found."""
    ends = (grid.start + grid.size.prod(dim=1)).tolist()
    boxes = []
    for box, there in zip(index.t().tolist(), exists.t().tolist(), strict=True):
        found = [k for k, real in zip(box, there, strict=True) if real]
        starts = grid.start.tolist()
        boxes.append([[k for k in found if a <= k < b] for a, b in zip(starts, ends, strict=True)])
    return boxes


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("topk", [1, 4, 9, 16])
@pytest.mark.parametrize("name", GRIDS)
def test_it_finds_the_same_in_the_same_order(name: str, topk: int, whole: bool) -> None:
    anchors: list[Boxes] = GRIDS[name]
    grid = anchor_grid(anchors)
    boxes = around(grid, 60, whole=whole)
    rng = np.random.default_rng(topk)
    # columns and rows that the padding of the batch takes: all open, or some closed
    open_cells = grid.size.expand(len(boxes), -1, -1).clone()
    part = torch.tensor(rng.uniform(0.2, 1, (len(boxes) // 2, 1, 2)))
    open_cells[::2] = (open_cells[::2] * part).ceil().long()
    expected = level_sets(grid, *nearest_of_all(grid, boxes, open_cells, topk))
    assert level_sets(grid, *nearest_in_window(grid, boxes, open_cells, topk)) == expected
    assert all(len(level) > 0 for box in expected for level in box)


@both
def test_a_hand_made_box(search: Any) -> None:
    # levels of 3 x 3 cells of 8 pixels and one cell of 16, centres at multiples of the stride; the
    # box's centre (9, 7) is nearest to (8, 8), then to (8, 0), sqrt(50) away, before (16, 8), which
    # is as near but later in the row-major order
    grid = anchor_grid(anchors_of([(3, 3), (1, 1)]))
    box = torch.tensor([[1.0, -1.0, 17.0, 15.0]])
    index, exists = search(grid, box, torch.tensor([[[3, 3], [1, 1]]]), 2)
    assert level_sets(grid, index, exists) == [[[4, 1], [9]]]


@both
def test_closed_rows_and_columns_hold_no_candidate(search: Any) -> None:
    grid = anchor_grid(anchors_of([(3, 3)]))
    box = torch.tensor([[10.0, 10.0, 22.0, 22.0]])  # the centre of the last cell
    index, exists = search(grid, box, torch.tensor([[[2, 1]]]), 9)
    assert index[exists].tolist() == [1, 0]
