"""Modulated deformable convolution (Zhu et al., Deformable ConvNets v2, CVPR 2019)."""

import functools
from typing import Any

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from vfnet_d2.layers.deform.fastest import choose_fastest, time_passes
from vfnet_d2.layers.deform.gather_conv import gather_conv
from vfnet_d2.layers.deform.gather_plan import gather_plan
from vfnet_d2.layers.precision import at_least_float32

DEFORM_CONVS = ("torchvision", "gather")


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

    "torchvision" is its kernel ``deform_conv2d``; "gather" reads the samples with
    :mod:`vfnet_d2.layers.deform.gather_conv`, several times faster on CPUs. Both give the same
    values and gradients, up to rounding.

    Args:
        x: (N, C, H, W).
        offsets: (N, 2T, H', W') for the T points of the kernel, row by row: (dy, dx) in cells.
        mask: (N, T, H', W').
        weight: (O, C / groups, kernel height, kernel width), T points.
        bias: (O,) or None.
        stride: of the grid, (y, x).
        padding: zeros around ``x``, (y, x).
        dilation: distance of the kernel's grid points, (y, x).
        implementation: "torchvision", or "gather" where :func:`can_gather` allows it.

    Returns:
        (N, O, H', W') in the dtype of ``x``.
    """
    if implementation == "gather":
        plan = gather_plan(
            [at_least_float32(offsets)],
            masks=[at_least_float32(mask)],
            sizes=[(x.shape[2], x.shape[3])],
            stride=stride[0],
        )
        groups = x.shape[1] // weight.shape[1]
        (out,) = gather_conv([x], plan, weight, groups=groups)
        return out if bias is None else out + bias.to(out.dtype)[:, None, None]
    # The kernel takes one dtype, and half precision would move samples by a part of a cell.
    with torch.autocast(x.device.type, enabled=False):
        out = deform_conv2d(
            at_least_float32(x),
            at_least_float32(offsets),
            at_least_float32(weight),
            None if bias is None else at_least_float32(bias),
            stride=stride,
            padding=padding,
            dilation=dilation,
            mask=at_least_float32(mask),
        )
    return out.to(x.dtype)


def can_gather(
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> bool:
    """Whether "gather" has this geometry: 3x3, padding 1, no dilation, one stride."""
    return (kernel_size, padding, dilation) == ((3, 3), (1, 1), (1, 1)) and stride[0] == stride[1]


@functools.cache
def fastest_deform_conv(device_type: str) -> str:
    """Time both implementations on this kind of device, once a process, and name the faster.

    Args:
        device_type: "cpu", "cuda", ...
    """
    size, channels = 48, 64
    with torch.random.fork_rng(enabled=True):  # measuring must not shift a seeded run
        x, weight, offsets, mask = (
            torch.rand(*shape, device=device_type, requires_grad=True)
            for shape in (
                (1, channels, size, size),
                (channels, channels, 3, 3),
                (1, 18, size, size),
                (1, 9, size, size),
            )
        )
    seconds = {
        name: time_passes(
            functools.partial(modulated_deform_conv, implementation=name),
            (x, offsets, mask, weight),
            device_type,
        )
        for name in DEFORM_CONVS
    }
    return choose_fastest("Deformable convolution", seconds, device_type)


def set_deform_conv(model: nn.Module, implementation: str) -> None:
    """Choose the implementation of all modulated deformable convolutions of a model.

    Args:
        model: whose layers are set.
        implementation: "torchvision", "gather", or "auto" for the one that is measured to be the
            fastest on the input's kind of device.

    Raises:
        ValueError: unknown implementation.
    """
    known = ("auto", *DEFORM_CONVS)
    if implementation not in known:
        raise ValueError(
            f"deform_conv (MODEL.ONE_STAGE.DEFORM_CONV) is {implementation!r}; "
            f"choose one of {known}"
        )
    for module in model.modules():
        if isinstance(module, ModulatedDeformConv2d):
            module.implementation = implementation


class ModulatedDeformConv2d(Conv2d):
    """Detectron2's ``Conv2d`` whose samples move and fade as a second convolution says.

    ``conv_offset`` predicts, for the T points of the kernel, 2T offsets, (dy, dx) point by point,
    and T mask values before the sigmoid. It starts from zero: the samples lie on the grid and count
    half, so a fresh layer is a plain convolution times 0.5.

    Args:
        args: of Detectron2's ``Conv2d``: channels, ``kernel_size``, ``stride``, ``padding``, ...
        kwargs: likewise, with ``groups``, ``bias``, ``norm`` and ``activation``. All groups share
            the offsets.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.implementation = "auto"
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
            implementation=self._choose(x),
        )
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x

    def _choose(self, x: Tensor) -> str:
        """Name of the implementation for this input; a traced model gets an operator of its own."""
        if not can_gather(self.kernel_size, self.stride, self.padding, self.dilation):
            return "torchvision"
        if self.implementation != "auto":
            return self.implementation
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return "torchvision"
        return fastest_deform_conv(x.device.type)
