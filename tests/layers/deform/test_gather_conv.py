"""Tests of vfnet_d2.layers.deform.gather_conv; ``test_star_ops.py`` compares it with the others."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from vfnet_d2.layers.deform import gather_conv as deform_gather
from vfnet_d2.layers.deform.gather_conv import gather_conv
from vfnet_d2.layers.deform.gather_plan import gather_plan
from vfnet_d2.layers.deform.star_ops import star_offsets

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


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


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("block", [1, 5, 24, 1000])
def test_without_gradients_blocks_of_cells_give_the_same(
    groups: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 cells of two levels and images: a block each, one across levels, all in one."""
    monkeypatch.setattr(deform_gather, "_BLOCK", block)
    sizes = [(2, 5), (1, 2)]
    features = [torch.randn(2, 4, *size) for size in sizes]
    plan = gather_plan([2 * torch.randn(2, 18, *size) for size in sizes])
    weight = torch.randn(6, 4 // groups, 3, 3)
    expected = gather_conv(features, plan, weight, groups=groups)
    with torch.no_grad():
        found = gather_conv(features, plan, weight, groups=groups)
    torch.testing.assert_close(found, expected)


def test_without_gradients_half_precision_stays_half() -> None:
    x, weight = torch.randn(1, 4, 3, 3).bfloat16(), torch.randn(2, 4, 3, 3).bfloat16()
    with torch.no_grad():
        (out,) = gather_conv([x], gather_plan([torch.zeros(1, 18, 3, 3)]), weight)
    expected = torch.nn.functional.conv2d(x.float(), weight.float(), padding=1)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.05)
