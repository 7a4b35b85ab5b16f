"""Modulated deformable convolution (Zhu et al., Deformable ConvNets v2, CVPR 2019)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from vfnet_d2.layers.deform.backend import MODULATED_BACKENDS, DeformableLayer
from vfnet_d2.layers.deform.gather_conv import gather_conv
from vfnet_d2.layers.deform.gather_plan import gather_plan
from vfnet_d2.layers.deform.grid_sample import sample_points
from vfnet_d2.layers.precision import at_least_float32


class Geometry(NamedTuple):
    """Strides, padding with zeros, and distances of the kernel's points, each (y, x)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)


def modulated_deform_conv(
    x: Tensor,
    offsets: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    implementation: str = "torchvision",
) -> Tensor:
    """Convolve samples taken off the grid, each scaled by its mask.

    The implementations give the same values and gradients, up to rounding; see
    :mod:`vfnet_d2.layers.deform.backend`. All of them sample in float32 at least: half precision
    would move samples by a part of a cell.

    Args:
        x: (N, C, H, W).
        offsets: (N, 2T, H', W') for the T points of the kernel, row by row: (dy, dx) in cells.
        mask: (N, T, H', W').
        weight: (O, C / groups, kernel height, kernel width), T points.
        bias: (O,) or None.
        stride: of the grid, (y, x).
        padding: zeros around ``x``, (y, x).
        dilation: distance of the kernel's grid points, (y, x).
        implementation: a name in ``MODULATED_CONVS``; "gather" where :func:`can_gather` allows it.

    Returns:
        (N, O, H', W') in the dtype of ``x``.
    """
    compute = MODULATED_CONVS[implementation]
    offsets, mask = at_least_float32(offsets), at_least_float32(mask)
    return compute(x, offsets, mask, weight, bias, Geometry(stride, padding, dilation))


def _by_torchvision(
    x: Tensor,
    offsets: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    # The kernel takes one dtype.
    with torch.autocast(x.device.type, enabled=False):
        out = deform_conv2d(
            at_least_float32(x),
            offsets,
            at_least_float32(weight),
            None if bias is None else at_least_float32(bias),
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=geometry.dilation,
            mask=mask,
        )
    return out.to(x.dtype)


def _by_gather(
    x: Tensor,
    offsets: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    sizes, stride = [(x.shape[2], x.shape[3])], geometry.stride[0]
    plan = gather_plan([offsets], masks=[mask], sizes=sizes, stride=stride)
    (out,) = gather_conv([x], plan, weight, groups=x.shape[1] // weight.shape[1])
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]


def _by_grid_sample(
    x: Tensor,
    offsets: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    kernel_size = (weight.shape[2], weight.shape[3])
    sampled = sample_points(x, offsets, kernel_size=kernel_size, **geometry._asdict())
    sampled = (sampled * mask.flatten(2)[:, None]).to(x.dtype)  # (N, C, T, H' * W')
    sampled = sampled.flatten(1, 2).unflatten(2, mask.shape[2:])
    mix = weight.flatten(1)[:, :, None, None]
    return F.conv2d(sampled, mix, bias, groups=x.shape[1] // weight.shape[1])


MODULATED_CONVS: dict[str, Callable[..., Tensor]] = {
    "torchvision": _by_torchvision,
    "gather": _by_gather,
    "grid_sample": _by_grid_sample,
}


def can_gather(
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> bool:
    """Return whether "gather" has this geometry: 3x3, padding 1, no dilation, one stride."""
    return (kernel_size, padding, dilation) == ((3, 3), (1, 1), (1, 1)) and stride[0] == stride[1]


class ModulatedDeformConv2d(DeformableLayer, Conv2d):
    """Detectron2's ``Conv2d`` whose samples move and fade as a second convolution says.

    ``conv_offset`` predicts, for the T points of the kernel, 2T offsets, (dy, dx) point by point,
    and T mask values before the sigmoid. It starts from zero: the samples lie on the grid and count
    half, so a fresh layer is a plain convolution times 0.5.

    Args:
        args: of Detectron2's ``Conv2d``: channels, ``kernel_size``, ``stride``, ``padding``, ...
        kwargs: likewise, with ``groups``, ``bias``, ``norm`` and ``activation``. All groups share
            the offsets.
    """

    backends = MODULATED_BACKENDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.points = self.kernel_size[0] * self.kernel_size[1]
        self.conv_offset = nn.Conv2d(
            self.in_channels,
            3 * self.points,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )
        self.reset_offsets()

    def reset_offsets(self) -> None:
        """Put the samples back on the grid, each counting half."""
        assert self.conv_offset.bias is not None
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def is_gatherable(self) -> bool:
        """Return whether "gather" can compute the layer's geometry; see :func:`can_gather`."""
        return can_gather(self.kernel_size, self.stride, self.padding, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W'), with norm and activation where given."""
        moves, mask = self.conv_offset(x).split([2 * self.points, self.points], dim=1)
        x = modulated_deform_conv(
            x,
            moves,
            mask.sigmoid(),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            implementation=self.backend(x.device.type),
        )
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x
