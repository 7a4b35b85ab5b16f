"""Deformable operations on each device against float64 on the CPU."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from tests.helpers.devices import DEVICES, moved
from tests.layers.deform.test_star_ops import of_distances, random_case, value_and_gradients
from vfnet_d2.layers.deform.backend import IMPLEMENTATIONS
from vfnet_d2.layers.deform.modulated_conv import modulated_deform_conv
from vfnet_d2.layers.deform.star_ops import STAR_CONVS, star_conv_grid_sample

# The order of the additions differs, which gives errors of the same size; of many the largest
# varies by a small factor.
FACTOR = 8


def check(
    function: Callable[..., Tensor],
    oracle: Callable[..., Tensor],
    leaves: list[Tensor],
    device: str,
) -> None:
    """Compare values and gradients in float32 with the oracle's in float64.

    The bound of each tensor is the oracle's own float32 noise on the CPU, times ``FACTOR``.
    """
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    exact = value_and_gradients(oracle, wide)
    rounded = value_and_gradients(oracle, leaves)
    found = value_and_gradients(function, moved(leaves, device))
    for one, reference, noisy in zip(found, exact, rounded, strict=True):
        assert one.device.type == device
        noise = (noisy.double() - reference).abs().max().item()
        torch.testing.assert_close(one.cpu().double(), reference, rtol=0, atol=FACTOR * noise)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", STAR_CONVS)
@pytest.mark.parametrize("shape", ["batch", "one row"])
def test_star_convolutions(shape: str, name: str, device: str) -> None:
    """Values and gradients of each star convolution in float32 are those of the CPU in float64."""
    leaves = random_case(shape, torch.float32)
    check(of_distances(STAR_CONVS[name]), of_distances(star_conv_grid_sample), leaves, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_modulated_deformable_convolutions(name: str, device: str) -> None:
    """Values and gradients of each DCNv2 in float32 are those of torchvision on the CPU."""
    x, weight = torch.randn(2, 8, 9, 7), torch.randn(6, 8, 3, 3)
    # at least 0.1 from the grid, where slopes jump
    offsets = torch.randint(-2, 3, (2, 18, 9, 7)) + 0.1 + 0.8 * torch.rand(2, 18, 9, 7)
    leaves = [y.requires_grad_() for y in (x, offsets, torch.rand(2, 9, 9, 7), weight)]
    check(
        partial(modulated_deform_conv, implementation=name),
        partial(modulated_deform_conv, implementation="torchvision"),
        leaves,
        device,
    )
