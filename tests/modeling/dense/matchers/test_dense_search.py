"""Tests of vfnet_d2.modeling.dense.matchers.dense_search."""

import torch

from tests.helpers.atss_cases import anchors_of
from vfnet_d2.modeling.dense.matchers.dense_search import nearest_of_all
from vfnet_d2.modeling.dense.matchers.grid import anchor_grid


def test_a_hand_made_box() -> None:
    # levels of 3 x 3 cells of 8 pixels and one cell of 16, centres at multiples of the stride; the
    # box's centre (9, 7) is nearest to (8, 8), then to (8, 0), sqrt(50) away, before (16, 8), which
    # is as near but later in the row-major order
    grid = anchor_grid(anchors_of([(3, 3), (1, 1)]))
    box = torch.tensor([[1.0, -1.0, 17.0, 15.0]])
    index, exists = nearest_of_all(grid, box, torch.tensor([[[3, 3], [1, 1]]]), 2)
    assert index.t().tolist() == [[4, 1, 9]]
    assert exists.all()


def test_closed_rows_and_columns_hold_no_candidate() -> None:
    grid = anchor_grid(anchors_of([(3, 3)]))
    box = torch.tensor([[10.0, 10.0, 22.0, 22.0]])  # the centre of the last cell
    index, exists = nearest_of_all(grid, box, torch.tensor([[[2, 1]]]), 9)
    assert index[exists].tolist() == [1, 0]
