"""Tests of vfnet_d2.layers.deform_gather; ``test_star_ops.py`` compares it with the others."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from vfnet_d2.layers.deform_gather import gather_conv, gather_plan
from vfnet_d2.layers.star_ops import star_offsets


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


def test_a_first_run_in_inference_mode_does_not_hinder_training() -> None:
    x, weight = torch.randn(1, 3, 7, 9), torch.randn(2, 3, 3, 3)
    distances = torch.rand(1, 4, 7, 9)
    with torch.inference_mode():
        gather_conv([x], gather_plan([star_offsets(distances)]), weight)
    distances.requires_grad_()
    (out,) = gather_conv([x], gather_plan([star_offsets(distances)]), weight)
    out.sum().backward()
    assert distances.grad.abs().sum() > 0


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [(9, 7), (1, 1), (8, 6)])
def test_deformable_convolution_is_torchvision_s(
    stride: int, groups: int, masked: bool, size: tuple[int, int]
) -> None:
    """Values and all gradients; some points lie outside the map."""
    generator = torch.Generator().manual_seed(0)
    height, width = ((side - 1) // stride + 1 for side in size)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.double).requires_grad_()

    x, weight = leaf(2, 4, *size), leaf(6, 4 // groups, 3, 3)
    offsets, mask = leaf(2, 18, height, width), leaf(2, 9, height, width) if masked else None
    expected = deform_conv2d(x, 2 * offsets, weight, stride=stride, padding=1, mask=mask)
    plan = gather_plan([2 * offsets], masks=[mask] if masked else None, sizes=[size], stride=stride)
    (out,) = gather_conv([x], plan, weight, groups=groups)
    leaves = [x, offsets, weight] + ([mask] if masked else [])
    cotangent = torch.randn(expected.shape, generator=generator, dtype=torch.double)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        torch.autograd.grad(out, leaves, cotangent),
        torch.autograd.grad(expected, leaves, cotangent),
    )
