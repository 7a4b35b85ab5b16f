"""Tests of vfnet_d2.layers.deform.modulated_conv."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.deform import modulated_conv as module
from vfnet_d2.layers.deform.modulated_conv import (
    MODULATED_CONVS,
    ModulatedDeformConv2d,
    modulated_deform_conv,
)


def bilinear(plane: Tensor, y: float, x: float) -> float:
    """The plane's value between its cells, 0 outside."""
    value = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                value += (1 - abs(y - row)) * (1 - abs(x - column)) * plane[row, column].item()
    return value


def naive(
    x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, *, stride: int, groups: int
) -> Tensor:
    """3x3, padding 1, by its definition: one sum for every output."""
    n, _, height, width = mask.shape
    out_channels, in_group = weight.shape[:2]
    out = torch.zeros(n, out_channels, height, width, dtype=x.dtype)
    for image, o, i, j in torch.cartesian_prod(
        *(torch.arange(size) for size in out.shape)
    ).tolist():
        first = o // (out_channels // groups) * in_group
        for point in range(9):
            row, column = divmod(point, 3)
            y = i * stride - 1 + row + offsets[image, 2 * point, i, j].item()
            z = j * stride - 1 + column + offsets[image, 2 * point + 1, i, j].item()
            for c in range(in_group):
                sample = bilinear(x[image, first + c], y, z) * mask[image, point, i, j]
                out[image, o, i, j] += weight[o, c, row, column] * sample
    return out


@pytest.mark.parametrize("name", MODULATED_CONVS)
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_equals_the_definition(stride: int, groups: int, name: str) -> None:
    x = torch.randn(1, 4, 5, 4, dtype=torch.float64)
    size = [math.ceil(side / stride) for side in (5, 4)]
    offsets = torch.randn(1, 18, *size, dtype=torch.float64) * 2
    mask = torch.rand(1, 9, *size, dtype=torch.float64)
    weight = torch.randn(2, 4 // groups, 3, 3, dtype=torch.float64)
    ours = modulated_deform_conv(
        x, offsets, mask, weight, stride=(stride, stride), implementation=name
    )
    torch.testing.assert_close(ours, naive(x, offsets, mask, weight, stride=stride, groups=groups))


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_are_those_of_finite_differences(groups: int) -> None:
    layer = ModulatedDeformConv2d(
        4, 2, kernel_size=3, stride=2, padding=1, groups=groups, bias=False
    ).double()
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    nn.init.uniform_(layer.conv_offset.bias, 0.2, 0.4)  # away from the cells, where slopes jump
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()), atol=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 2}, {"dilation": 2}])
def test_a_fresh_layer_is_half_a_plain_convolution(options: dict[str, int]) -> None:
    padding = options.get("dilation", 1)
    layer = ModulatedDeformConv2d(4, 6, kernel_size=3, padding=padding, **options)
    x = torch.randn(2, 4, 9, 8)
    # sigmoid(0) = 0.5 scales the samples, not the bias
    plain = F.conv2d(x, layer.weight, padding=padding, **options)
    torch.testing.assert_close(layer(x), 0.5 * plain + layer.bias[:, None, None])


@pytest.mark.usefixtures("float64")
def test_channels_of_the_offset_convolution() -> None:
    """(dy, dx) point by point, then the masks before their sigmoid."""
    layer = ModulatedDeformConv2d(1, 1, kernel_size=3, padding=1, bias=False)
    nn.init.zeros_(layer.weight)
    layer.weight.data[0, 0, 2, 1] = 1.0  # point 7: below the centre
    layer.conv_offset.bias.data[2 * 7] = 1.0  # one row further down: two below the centre
    layer.conv_offset.bias.data[2 * 7 + 1] = -1.0  # one column to the left
    layer.conv_offset.bias.data[18 + 7] = math.log(3)  # sigmoid: 3 / 4
    x = torch.rand(1, 1, 6, 6)
    expected = torch.zeros_like(x)
    expected[..., :-2, 1:] = 0.75 * x[..., 2:, :-1]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.usefixtures("float64")
def test_norm_and_activation_follow() -> None:
    norm = nn.BatchNorm2d(4)
    layer = ModulatedDeformConv2d(
        3, 4, kernel_size=3, padding=1, bias=False, norm=norm, activation=F.relu
    )
    x = torch.randn(2, 3, 5, 5)
    half = 0.5 * F.conv2d(x, layer.weight, padding=1)
    expected = F.relu(F.batch_norm(half, None, None, training=True))
    torch.testing.assert_close(layer(x), expected)


def test_samples_in_float32_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[torch.dtype] = set()
    sample = module.deform_conv2d

    def spy(*args: Tensor, mask: Tensor, **options: object) -> Tensor:
        seen.update(tensor.dtype for tensor in (*args, mask) if tensor is not None)
        return sample(*args, mask=mask, **options)

    monkeypatch.setattr(module, "deform_conv2d", spy)
    layer = ModulatedDeformConv2d(3, 4, kernel_size=3, padding=1)
    layer.implementation = "torchvision"
    x = torch.randn(1, 3, 6, 6, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert seen == {torch.float32}
    assert out.dtype == torch.bfloat16


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["gather", "grid_sample"])
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_all_give_torchvision_s_values_and_gradients(stride: int, groups: int, name: str) -> None:
    layer = ModulatedDeformConv2d(
        8, 12, kernel_size=3, stride=stride, padding=1, groups=groups
    ).double()
    nn.init.normal_(layer.conv_offset.weight, std=0.5)
    x = torch.randn(2, 8, 9, 7, dtype=torch.float64, requires_grad=True)
    results = []
    for implementation in (name, "torchvision"):
        layer.implementation = implementation
        out = layer(x)
        leaves = [x, *layer.parameters()]
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "dilation": 2, "padding": 2},
        {"kernel_size": (1, 3), "padding": (0, 2), "stride": (2, 1)},
        {"kernel_size": (5, 3), "padding": 0, "dilation": (1, 2)},
    ],
)
def test_grid_sample_has_torchvision_s_geometries(options: dict[str, Any]) -> None:
    layer = ModulatedDeformConv2d(2, 3, **options).double()
    nn.init.normal_(layer.conv_offset.weight, std=0.5)
    x = torch.randn(2, 2, 9, 8, dtype=torch.float64)
    results = []
    for name in ("grid_sample", "torchvision"):
        layer.implementation = name
        results.append(layer(x))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", MODULATED_CONVS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_input_s_precision_is_kept(dtype: torch.dtype, name: str) -> None:
    layer = ModulatedDeformConv2d(8, 4, kernel_size=3, padding=1)
    layer.implementation = name
    with torch.autocast("cpu", dtype=dtype):
        assert layer(torch.randn(1, 8, 5, 5).to(dtype)).dtype == dtype


@pytest.mark.parametrize("options", [{"dilation": 2, "padding": 2}, {"padding": 0}])
def test_a_geometry_that_cannot_be_gathered_goes_to_torchvision(options: dict[str, int]) -> None:
    layer = ModulatedDeformConv2d(2, 2, kernel_size=3, **options)
    results = []
    for name in ("gather", "torchvision"):
        layer.implementation = name
        results.append(layer(torch.ones(1, 2, 6, 6)))
    assert torch.equal(*results)


@pytest.mark.parametrize(("wanted", "runs"), [("auto", "gather"), ("torchvision", "torchvision")])
def test_what_runs_is_the_table_s_or_the_layer_s(
    wanted: str, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def spy(x: Tensor, *_: Tensor, implementation: str, **options: object) -> Tensor:
        used.append(implementation)
        return x

    monkeypatch.setattr(module, "modulated_deform_conv", spy)
    layer = ModulatedDeformConv2d(2, 2, kernel_size=3, padding=1)
    layer.implementation = wanted
    layer(torch.ones(1, 2, 4, 4))
    assert used == [runs]


# torchvision's deform_conv2d asks its sizes whether they agree.
@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean")
def test_traces_as_one_operator() -> None:
    layer = ModulatedDeformConv2d(2, 2, kernel_size=3, padding=1)
    traced = torch.jit.trace(layer, torch.ones(1, 2, 4, 4))
    assert "torchvision::deform_conv2d" in str(traced.inlined_graph)
