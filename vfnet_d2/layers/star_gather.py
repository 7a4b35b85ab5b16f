"""Star convolution of all levels at once, as a weighted gather and one matrix product.

Sampling is linear and sparse: a sampling point is a weighted sum of at most four rows of a table
that holds the feature vectors of every cell of every level and image. ``embedding_bag`` is a fused
gather for exactly that. What to read, and with which weight, is worked out once and serves both
star convolutions of a head.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vfnet_d2.layers.precision import at_least_float32

_TAPS = 9
_CORNERS = 4


class Transposed(NamedTuple):
    """The gather seen from the table: which samples read a row, and with which weight.

    Attributes:
        sample: (9 P * 4,) sample of each read, ordered by the row it reads.
        order: (9 P * 4,) position of that read in the plan's ``index``.
        start: (P,) where a row's reads begin.
    """

    sample: Tensor
    order: Tensor
    start: Tensor


class GatherPlan:
    """What nine sampling points of each of P cells read from a table of P rows.

    Args:
        index: (9 P, 4) int64, rows of the four neighbours of each sample.
        weight: (9 P, 4) their bilinear weights; 0 outside the map. Carries gradient.
    """

    def __init__(self, index: Tensor, weight: Tensor) -> None:
        self.index = index
        self.weight = weight

    @functools.cached_property
    def transposed(self) -> Transposed:
        """Sorted once, for the backward passes of all convolutions that share the plan."""
        flat = self.index.flatten()
        rows = len(self.index) // _TAPS
        order = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=rows)
        sample = order.div(_CORNERS, rounding_mode="floor")
        return Transposed(sample, order, counts.cumsum(0) - counts)


class _WeightedGather(torch.autograd.Function):
    """Samples (9 P, C) from a table (P, C): ``sum_k weight[:, k] * table[index[:, k]]``.

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
        samples * _CORNERS,
        samples.repeat_interleave(_CORNERS),
        0,  # mode "sum"
    )
    return products.view_as(index)


def gather_plan(offsets: Sequence[Tensor]) -> GatherPlan:
    """Work out what the star convolution of every level reads.

    Args:
        offsets: L tensors (N, 18, H, W) in stride units, see
            :func:`~vfnet_d2.layers.star_ops.star_offsets`.
    """
    shapes = tuple((len(x), x.shape[2], x.shape[3]) for x in offsets)
    # What an exporter traces with is not a real tensor and must not stay in the cache.
    find = _cells.__wrapped__ if torch.compiler.is_compiling() else _cells
    cells = find(shapes, offsets[0].device)
    moved = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in offsets])  # (P, 18)
    moved = moved.view(-1, _TAPS, 2)
    y = moved[..., 0] + cells.row
    x = moved[..., 1] + cells.column
    weight_y, row = _neighbours(y, cells.height)
    weight_x, column = _neighbours(x, cells.width)
    index = (cells.start[..., None] + row * cells.width[..., None])[..., :, None]
    index = index + column[..., None, :]
    weight = weight_y[..., :, None] * weight_x[..., None, :]
    return GatherPlan(index.reshape(-1, _CORNERS), weight.reshape(-1, _CORNERS))


class _Cells(NamedTuple):
    """Where the P cells of all levels and images are."""

    row: Tensor  # (P, 9) y of each tap of the plain 3x3 grid, in cells
    column: Tensor  # (P, 9) its x
    height: Tensor  # (P, 1) of the cell's map
    width: Tensor  # (P, 1)
    start: Tensor  # (P, 1) table row of the map's first cell


@functools.lru_cache(maxsize=8)  # a batch of large images takes 10 MB
def _cells(shapes: tuple[tuple[int, int, int], ...], device: torch.device) -> _Cells:
    """Positions of the cells of L maps given as (N, H, W)."""
    parts, start = [], 0
    for images, height, width in shapes:
        cell = torch.arange(images * height * width, device=device)
        inside = cell % (height * width)
        size = torch.full_like(cell, height), torch.full_like(cell, width)
        first = start + cell - inside
        parts.append(
            torch.stack([inside.div(width, rounding_mode="floor"), inside % width, *size, first])
        )
        start += len(cell)
    row, column, height, width, first = torch.cat(parts, dim=1)[..., None]
    tap = torch.arange(_TAPS, device=device)
    return _Cells(
        row=row + tap.div(3, rounding_mode="floor") - 1,
        column=column + tap % 3 - 1,
        height=height,
        width=width,
        start=first,
    )


def _neighbours(position: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Linear weights and indices (P, 9, 2) of the cells below and above positions (P, 9)."""
    # Detached: only the fraction has a gradient, and a graph through the indices would keep them.
    below = position.detach().floor()
    fraction = position - below
    cell = torch.stack([below, below + 1], dim=-1)
    inside = (cell >= 0) & (cell < size[..., None])
    weight = torch.stack([1 - fraction, fraction], dim=-1) * inside
    # Far outside, a position may not even fit an integer; its weight is 0 whatever it reads.
    return weight, cell.clamp(min=0).minimum(size[..., None] - 1).long()


def star_conv_gather(features: Sequence[Tensor], plan: GatherPlan, weight: Tensor) -> list[Tensor]:
    """Star convolution of L maps that share a plan.

    Args:
        features: L tensors (N, C, H, W).
        plan: from the offsets of the same maps.
        weight: (O, C, 3, 3).

    Returns:
        L tensors (N, O, H, W) in the dtype of the features.
    """
    channels = features[0].shape[1]
    with torch.autocast(features[0].device.type, enabled=False):
        rows = [at_least_float32(x).permute(0, 2, 3, 1).reshape(-1, channels) for x in features]
        table = torch.cat(rows)
        samples = _WeightedGather.apply(table, plan.weight.to(table.dtype), plan)
    samples = samples.view(len(table), _TAPS * channels).to(features[0].dtype)
    mixed = F.linear(samples, weight.permute(0, 2, 3, 1).reshape(len(weight), -1).to(samples.dtype))
    levels = mixed.split([len(x) for x in rows])
    return [
        level.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)
        for level, x in zip(levels, features, strict=True)
    ]
