"""Deformable 3x3 convolution of several maps at once, as a weighted gather and a matrix product.

Sampling is linear and sparse: a sampling point is a weighted sum of at most four rows of a table
that holds the feature vectors of every cell of every level and image. ``embedding_bag`` is a fused
gather for exactly that. What to read, and with which weight, is worked out once and serves all
convolutions that share their sampling points, such as both star convolutions of a head. A mask
(DCNv2) is one more factor in the weights.
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

Size = tuple[int, int]


class Transposed(NamedTuple):
    """The gather seen from the table: which samples read a row, and with which weight.

    Attributes:
        sample: (9 P * 4,) sample of each read, ordered by the row it reads.
        order: (9 P * 4,) position of that read in the plan's ``index``.
        start: (R,) where a row's reads begin.
    """

    sample: Tensor
    order: Tensor
    start: Tensor


class GatherPlan:
    """What nine sampling points of each of P output cells read from a table of R rows.

    Args:
        index: (9 P, 4) int64, rows of the four neighbours of each sample.
        weight: (9 P, 4) their bilinear weights; 0 outside the map. Carries gradient.
        rows: R.
        shapes: (N, H', W') of the L output maps.
    """

    def __init__(
        self, index: Tensor, weight: Tensor, *, rows: int, shapes: Sequence[tuple[int, int, int]]
    ) -> None:
        self.index = index
        self.weight = weight
        self.rows = rows
        self.shapes = tuple(shapes)

    @functools.cached_property
    def transposed(self) -> Transposed:
        """Sorted once, for the backward passes of all convolutions that share the plan."""
        flat = self.index.flatten()
        order = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=self.rows)
        sample = order.div(_CORNERS, rounding_mode="floor")
        return Transposed(sample, order, counts.cumsum(0) - counts)


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
        samples * _CORNERS,
        samples.repeat_interleave(_CORNERS),
        0,  # mode "sum"
    )
    return products.view_as(index)


def gather_plan(
    offsets: Sequence[Tensor],
    *,
    masks: Sequence[Tensor] | None = None,
    sizes: Sequence[Size] | None = None,
    stride: int = 1,
) -> GatherPlan:
    """Work out what a 3x3 convolution with moved sampling points reads.

    Args:
        offsets: L tensors (N, 18, H', W') in cells: (dy, dx) of the nine grid points, row by row.
        masks: L tensors (N, 9, H', W'), factors of the samples; None for 1.
        sizes: (H, W) of the L input maps; None if they are those of the output.
        stride: of the grid; its padding is 1.
    """
    shapes = tuple((len(x), x.shape[2], x.shape[3]) for x in offsets)
    inputs = tuple(sizes) if sizes is not None else tuple(shape[1:] for shape in shapes)
    # What an exporter traces with is not a real tensor and must not stay in the cache.
    find = _cells.__wrapped__ if torch.compiler.is_compiling() else _cells
    cells = find(shapes, inputs, stride, offsets[0].device)
    moved = _rows(offsets).view(-1, _TAPS, 2)
    weight_y, row = _neighbours(moved[..., 0] + cells.row, cells.height)
    weight_x, column = _neighbours(moved[..., 1] + cells.column, cells.width)
    if masks is not None:
        weight_y = weight_y * _rows(masks)[..., None]
    index = (cells.start[..., None] + row * cells.width[..., None])[..., :, None]
    index = index + column[..., None, :]
    weight = weight_y[..., :, None] * weight_x[..., None, :]
    return GatherPlan(
        index.reshape(-1, _CORNERS),
        weight.reshape(-1, _CORNERS),
        rows=sum(len(x) * h * w for x, (h, w) in zip(offsets, inputs, strict=True)),
        shapes=shapes,
    )


def _rows(maps: Sequence[Tensor]) -> Tensor:
    """Join L maps (N, C, H, W) to a table with a row of C channels per cell."""
    return torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in maps])


class _Cells(NamedTuple):
    """Where the P output cells of all levels and images are, and the maps they read."""

    row: Tensor  # (P, 9) y of each tap of the plain 3x3 grid, in cells of the input
    column: Tensor  # (P, 9) its x
    height: Tensor  # (P, 1) of the input map
    width: Tensor  # (P, 1)
    start: Tensor  # (P, 1) table row of the input map's first cell


@functools.lru_cache(maxsize=32)  # a batch of large images takes 10 MB
def _cells(
    shapes: tuple[tuple[int, int, int], ...],
    inputs: tuple[Size, ...],
    stride: int,
    device: torch.device,
) -> _Cells:
    """Positions of the cells of L output maps (N, H', W') over input maps (H, W)."""
    parts, start = [], 0
    for (images, rows, columns), (height, width) in zip(shapes, inputs, strict=True):
        cell = torch.arange(images * rows * columns, device=device)
        image = cell.div(rows * columns, rounding_mode="floor")
        inside = cell % (rows * columns)
        position = inside.div(columns, rounding_mode="floor"), inside % columns
        size = torch.full_like(cell, height), torch.full_like(cell, width)
        first = start + image * (height * width)
        parts.append(torch.stack([*(stride * x for x in position), *size, first]))
        start += images * height * width
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
    channels, outputs = features[0].shape[1], len(weight)
    with torch.autocast(features[0].device.type, enabled=False):
        table = at_least_float32(_rows(features))
        samples = _WeightedGather.apply(table, plan.weight.to(table.dtype), plan)
    samples = samples.to(features[0].dtype)
    if groups == 1:
        matrix = weight.permute(0, 2, 3, 1).reshape(outputs, -1).to(samples.dtype)
        mixed = _mix(samples.view(-1, _TAPS * channels), matrix)
    else:
        # Each cell's samples are an image of 3x3: one grouped convolution turns them into a pixel.
        patches = samples.view(-1, 3, 3, channels).permute(0, 3, 1, 2)
        mixed = F.conv2d(patches, weight.to(samples.dtype), groups=groups).flatten(1)
    levels = mixed.split([images * height * width for images, height, width in plan.shapes])
    return [
        level.view(*shape, outputs).permute(0, 3, 1, 2)
        for level, shape in zip(levels, plan.shapes, strict=True)
    ]


def _mix(samples: Tensor, matrix: Tensor) -> Tensor:
    """Product (P, O) of samples (P, 9 C) and the transposed matrix (O, 9 C)."""
    if samples.device.type != "cpu" or samples.dtype != torch.float32:
        return F.linear(samples, matrix)
    # oneDNN's 1x1 convolution is a quarter faster than the BLAS product on AMD CPUs.
    image = samples[None, :, None].permute(0, 3, 1, 2)  # (1, 9 C, P, 1), channels last
    return F.conv2d(image, matrix[..., None, None])[0, :, :, 0].t()
