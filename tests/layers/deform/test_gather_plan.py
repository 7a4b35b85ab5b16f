"""Tests of vfnet_d2.layers.deform.gather_plan."""

import pytest
import torch

from vfnet_d2.layers.deform.gather_plan import gather_plan
from vfnet_d2.layers.deform.star_ops import star_offsets

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


def test_a_plan_reads_the_neighbours_with_bilinear_weights() -> None:
    # 2 x 2 cells; the star of the first is one cell high and 1/4 wide to the right
    distances = torch.zeros(1, 4, 2, 2)
    distances[0, :, 0, 0] = torch.tensor([0.0, 0.0, 0.25, 1.0])
    plan = gather_plan([star_offsets(distances)])
    # the last tap of the first cell is at y = 1, x = 1/4: 3/4 of cell 2 and 1/4 of cell 3
    table = torch.zeros(4).index_add(0, plan.index[8], plan.weight[8])
    assert table.tolist() == [0, 0, 0.75, 0.25]


def test_rows_follow_levels_images_and_cells() -> None:
    # distances of zero: all nine taps of a cell read the cell itself
    zeros = [torch.zeros(2, 4, 2, 3), torch.zeros(2, 4, 1, 1)]
    plan = gather_plan([star_offsets(x) for x in zeros])
    rows = 2 * 6 + 2
    table = torch.zeros(9 * rows, rows).scatter_add(1, plan.index, plan.weight)
    assert torch.equal(table, torch.eye(rows).repeat_interleave(9, dim=0))


def test_points_outside_the_map_weigh_nothing() -> None:
    distances = torch.full((1, 4, 2, 2), 1e6)
    plan = gather_plan([star_offsets(distances)])
    weight = plan.weight.view(4, 9, 4).sum(2)
    # the middle tap is the cell itself, its row's and column's others are far away
    assert weight[:, 4].tolist() == [1] * 4
    assert weight.sum().item() == 4


def test_the_transposed_plan_lists_the_same_reads() -> None:
    plan = gather_plan([star_offsets(3 * torch.rand(2, 4, 4, 5))])
    sample, order, start = plan.transposed
    rows = 2 * 4 * 5
    matrix = torch.zeros(9 * rows, rows).scatter_add(1, plan.index, plan.weight)
    row = torch.searchsorted(start, torch.arange(len(order)), right=True) - 1
    weight = plan.weight.flatten()[order]
    transposed = torch.zeros(rows, 9 * rows).index_put((row, sample), weight, accumulate=True)
    torch.testing.assert_close(transposed, matrix.T)
