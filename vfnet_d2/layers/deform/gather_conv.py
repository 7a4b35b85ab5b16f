"""Deformable 3x3 convolution of several maps at once, as a weighted gather and a matrix product.

:mod:`vfnet_d2.layers.deform.gather_plan` works out what is read; ``embedding_bag`` is a fused
gather for exactly that.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vfnet_d2.layers.deform.gather_plan import CORNERS, TAPS, GatherPlan, cell_rows
from vfnet_d2.layers.precision import at_least_float32

# Cells whose samples fit the cache of a core, so that they are still there when they are mixed.
_BLOCK = 1024


class _WeightedGather(torch.autograd.Function):
    """Samples (9 P, C) from a table (R, C): ``sum_k weight[:, k] * table[index[:, k]]``.

    Autograd's own backward of ``embedding_bag`` scatters into a dense table; gathering along the
    transposed plan is several times faster, and deterministic.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, weight: Tensor, plan: GatherPlan) -> Tensor:
        ctx.plan = plan
        ctx.save_for_backward(table, weight)
        # Detached, it takes the fused kernel that keeps nothing for a backward.
        return F.embedding_bag(
            plan.index, table.detach(), per_sample_weights=weight.detach(), mode="sum"
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        table, weight = ctx.saved_tensors
        grad = grad.contiguous()
        grad_table = grad_weight = None
        if ctx.needs_input_grad[0]:
            sample, order, start = ctx.plan.transposed
            grad_table = F.embedding_bag(
                sample, grad, start, per_sample_weights=weight.flatten()[order], mode="sum"
            )
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(grad, table, ctx.plan.index)
        return grad_table, grad_weight, None


def _weight_gradient(grad: Tensor, table: Tensor, index: Tensor) -> Tensor:
    """Products (9 P, 4) of each sample's gradient (9 P, C) with the table rows it read."""
    samples = torch.arange(len(index), device=index.device)
    # embedding_bag's own kernel for this, without copying the rows: 4 x 9 P x C floats.
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        grad,
        table,
        index.flatten(),
        samples * CORNERS,
        samples.repeat_interleave(CORNERS),
        0,  # mode "sum"
    )
    return products.view_as(index)


def gather_conv(
    features: Sequence[Tensor], plan: GatherPlan, weight: Tensor, *, groups: int = 1
) -> list[Tensor]:
    """Convolve L maps at the sampling points of a plan.

    Args:
        features: L tensors (N, C, H, W).
        plan: of maps of these sizes.
        weight: (O, C / groups, 3, 3).
        groups: of channels that do not see each other.

    Returns:
        L tensors (N, O, H', W') in the dtype of the features.
    """
    mixed = _convolve(features, plan, weight, groups)
    levels = mixed.split([images * height * width for images, height, width in plan.shapes])
    return [
        level.view(*shape, len(weight)).permute(0, 3, 1, 2)
        for level, shape in zip(levels, plan.shapes, strict=True)
    ]


def gather_conv_cells(
    features: Sequence[Tensor], plan: GatherPlan, cells: Tensor, weight: Tensor
) -> Tensor:
    """The same convolution at chosen cells only.

    Args:
        features: L tensors (N, C, H, W).
        plan: of maps of these sizes.
        cells: (U,) see :meth:`~vfnet_d2.layers.deform.gather_plan.GatherPlan.at`.
        weight: (O, C, 3, 3).

    Returns:
        (U, O) in the dtype of the features.
    """
    return _convolve(features, plan.at(cells), weight, groups=1)


def _convolve(features: Sequence[Tensor], plan: GatherPlan, weight: Tensor, groups: int) -> Tensor:
    """Results (P, O) at the cells of a plan."""
    weight = weight.to(features[0].dtype)
    with torch.autocast(features[0].device.type, enabled=False):
        table = at_least_float32(cell_rows(features))
        plan_weight = plan.weight.to(table.dtype)
    if _keeps_nothing(table):
        return _convolve_blocks(table, plan.index, plan_weight, weight, groups)
    samples = _WeightedGather.apply(table, plan_weight, plan)
    return _mix(samples.to(weight.dtype), weight, groups)


def _keeps_nothing(table: Tensor) -> bool:
    """Whether blocks pay: on a CPU, without a graph that would hold the samples of all of them."""
    return not (
        torch.is_grad_enabled() or torch.compiler.is_compiling() or table.device.type != "cpu"
    )


def _convolve_blocks(
    table: Tensor, index: Tensor, plan_weight: Tensor, weight: Tensor, groups: int
) -> Tensor:
    """Results (P, O), a block of cells after the other."""
    mixed = weight.new_empty(len(index) // TAPS, len(weight))
    reads = zip(index.split(TAPS * _BLOCK), plan_weight.split(TAPS * _BLOCK), strict=True)
    for (rows, weights), block in zip(reads, mixed.split(_BLOCK), strict=True):
        samples = F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
        block.copy_(_mix(samples.to(weight.dtype), weight, groups))
    return mixed


def _mix(samples: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Results (P, O) of samples (9 P, C) and a weight (O, C / groups, 3, 3)."""
    channels = samples.shape[1]
    if groups > 1:
        # Each cell's samples are an image of 3x3: one grouped convolution turns them into a pixel.
        patches = samples.view(-1, 3, 3, channels).permute(0, 3, 1, 2)
        return F.conv2d(patches, weight, groups=groups).flatten(1)
    samples = samples.view(-1, TAPS * channels)
    matrix = weight.permute(0, 2, 3, 1).flatten(1)
    if samples.device.type != "cpu" or samples.dtype != torch.float32:
        return F.linear(samples, matrix)
    # oneDNN's 1x1 convolution is a quarter faster than the BLAS product on AMD CPUs.
    image = samples[None, :, None].permute(0, 3, 1, 2)  # (1, 9 C, P, 1), channels last
    return F.conv2d(image, matrix[..., None, None]).permute(0, 2, 3, 1).reshape(-1, len(weight))
