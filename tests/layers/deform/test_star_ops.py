"""Tests of vfnet_d2.layers.deform.star_ops."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers.tolerance import in_float64
from vfnet_d2.layers.deform.star_ops import STAR_CONVS, star_conv_grid_sample, star_offsets

Components = dict[str, np.ndarray]

# The portable one is checked by a naive loop, and the others by it.
OTHERS = [name for name in STAR_CONVS if name != "grid_sample"]

# Name: N, C, H, W and the largest distance, in cells
SHAPES = {
    "batch": (2, 8, 13, 9, 4.0),
    "one cell": (1, 4, 1, 1, 2.0),
    "one row": (2, 4, 1, 7, 3.0),
    "one column": (1, 3, 6, 1, 3.0),
    "far outside": (1, 4, 5, 6, 300.0),
}


def random_case(name: str, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Input, distances and weight for five output channels, all with gradients."""
    n, c, h, w, reach = SHAPES[name]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, c, h, w, generator=generator, dtype=dtype)
    distances = reach * torch.rand(n, 4, h, w, generator=generator, dtype=dtype)
    weight = torch.randn(5, c, 3, 3, generator=generator, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (x, distances, weight)]


def random_offsets_case(name: str) -> list[Tensor]:
    """The same with offsets that no star has: none leads to a pixel line.

    There the derivative jumps, and the implementations may take it from different sides. A star's
    points lie on a line of their own row or column only, along which nothing moves them.
    """
    x, distances, weight = random_case(name)
    generator = torch.Generator().manual_seed(2)
    offsets = star_offsets(distances.detach())
    offsets = (offsets + torch.rand(offsets.shape, generator=generator)).requires_grad_()
    return [x, offsets, weight]


def value_and_gradients(function: Callable[..., Tensor], leaves: list[Tensor]) -> list[Tensor]:
    out = function(*leaves)
    cotangent = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out).to(out.device)
    return [out, *torch.autograd.grad(out, leaves, cotangent)]


def of_distances(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, distances, weight: function(x, star_offsets(distances), weight)


def naive_star_conv(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Deformable convolution as its definition says it, one sample at a time."""
    n, _, h, w = x.shape
    out = torch.zeros(n, len(weight), h, w, dtype=x.dtype)
    for image, row, column, tap in itertools.product(range(n), range(h), range(w), range(9)):
        dy, dx = offsets[image, 2 * tap : 2 * tap + 2, row, column].tolist()
        y, x_ = row + tap // 3 - 1 + dy, column + tap % 3 - 1 + dx
        top, left = math.floor(y), math.floor(x_)
        for j, i in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= j < h and 0 <= i < w:  # outside the map there are zeros
                share = (1 - abs(y - j)) * (1 - abs(x_ - i))
                column_of_weights = weight[:, :, tap // 3, tap % 3]
                out[image, :, row, column] += share * column_of_weights @ x[image, :, j, i]
    return out


@pytest.mark.parametrize("stride", [8, 16, 128])
def test_offsets_of_the_reference(stride: int, components: Components) -> None:
    distances = in_float64(components[f"star.s{stride}.bbox_pred"]) / stride
    stored = components[f"star.s{stride}.offset"]
    np.testing.assert_allclose(star_offsets(distances), stored, rtol=0, atol=2e-5)


@pytest.mark.parametrize("stride", [8, 16, 128])
def test_a_tenth_of_the_gradient_of_the_reference(stride: int, components: Components) -> None:
    pixels = in_float64(components[f"star.s{stride}.bbox_pred"]).requires_grad_()
    offsets = star_offsets(torch.lerp(pixels.detach(), pixels, 0.1) / stride)
    (offsets * torch.from_numpy(components[f"star.s{stride}.cotangent"])).sum().backward()
    stored = components[f"star.s{stride}.grad_bbox_pred"]
    np.testing.assert_allclose(pixels.grad, stored, rtol=0, atol=2e-6 * np.abs(stored).max())


def test_the_nine_points_of_a_hand_made_box() -> None:
    # a location that sees 1 cell to the left, 2 up, 3 to the right and 4 down
    offsets = star_offsets(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)).view(9, 2)
    plain_grid = torch.tensor([[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    expected = [(y, x) for y in (-2, 0, 4) for x in (-1, 0, 3)]
    assert [tuple(point) for point in (plain_grid + offsets).int().tolist()] == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_offsets_are_single_precision_at_least(dtype: torch.dtype) -> None:
    assert star_offsets(torch.ones(1, 4, 2, 2, dtype=dtype)).dtype == torch.float32
    assert star_offsets(torch.ones(1, 4, 2, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("name", STAR_CONVS)
def test_agrees_with_a_naive_loop(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 2, 3, 4, generator=generator, dtype=torch.float64)
    distances = 3 * torch.rand(1, 4, 3, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64)
    offsets = star_offsets(distances)
    torch.testing.assert_close(
        STAR_CONVS[name](x, offsets, weight), naive_star_conv(x, offsets, weight)
    )


@pytest.mark.parametrize("name", STAR_CONVS)
def test_distances_of_one_cell_make_an_ordinary_convolution(name: str) -> None:
    x, weight = (torch.randn(*size, dtype=torch.float64) for size in ((2, 3, 5, 6), (4, 3, 3, 3)))
    offsets = star_offsets(torch.ones(2, 4, 5, 6, dtype=torch.float64))
    torch.testing.assert_close(STAR_CONVS[name](x, offsets, weight), F.conv2d(x, weight, padding=1))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_implementations_are_equal_for_stars(shape: str, name: str) -> None:
    """Values and the gradients of input, distances and weight."""
    ours, theirs = (
        value_and_gradients(of_distances(function), random_case(shape))
        for function in (STAR_CONVS[name], star_conv_grid_sample)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_implementations_are_equal_for_any_offsets(shape: str, name: str) -> None:
    """Values and the gradients of input, offsets and weight."""
    ours, theirs = (
        value_and_gradients(function, random_offsets_case(shape))
        for function in (STAR_CONVS[name], star_conv_grid_sample)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", STAR_CONVS)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    x, offsets, weight = random_offsets_case("batch")
    parts = (x[:1, :2, :3, :3], offsets[:1, :, :3, :3], weight[:2, :2])
    leaves = [part.detach().requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(STAR_CONVS[name], leaves)


@pytest.mark.parametrize("name", STAR_CONVS)
def test_any_memory_layout_will_do(name: str) -> None:
    x, offsets, weight = random_offsets_case("batch")
    layout = torch.channels_last
    strided = [tensor.contiguous(memory_format=layout) for tensor in (x, offsets, weight)]
    torch.testing.assert_close(STAR_CONVS[name](*strided), STAR_CONVS[name](x, offsets, weight))


@pytest.mark.parametrize("name", ["grid_sample", "gather"])
def test_repeated_runs_are_bitwise_equal(name: str) -> None:
    first, second = (
        value_and_gradients(STAR_CONVS[name], random_offsets_case("batch")) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", STAR_CONVS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_samples_at_single_precision_positions(name: str, dtype: torch.dtype) -> None:
    """On a map of 512 columns half precision would move samples by whole cells."""
    x = torch.randn(1, 8, 8, 512).to(dtype)
    offsets = star_offsets(torch.full((1, 4, 8, 512), 100.25))
    weight = torch.randn(6, 8, 3, 3) / 9
    exact = STAR_CONVS[name](x.float(), offsets, weight)
    with torch.autocast("cpu", dtype=dtype):
        ours = STAR_CONVS[name](x, offsets, weight).float()
    coarse = STAR_CONVS[name](x.float(), offsets.to(torch.bfloat16).float(), weight)
    # Rounding 72 products of this size to eight bits or more leaves far less than a moved sample.
    assert (ours - exact).abs().max() < 0.05
    assert (coarse - exact).abs().max() > 0.5


@pytest.mark.parametrize("name", STAR_CONVS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_result_has_the_input_s_precision(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(1, 2, 3, 3, dtype=dtype)
    weight = torch.randn(2, 2, 3, 3, dtype=dtype)
    offsets = star_offsets(torch.ones(1, 4, 3, 3))
    assert STAR_CONVS[name](x, offsets, weight).dtype == dtype
