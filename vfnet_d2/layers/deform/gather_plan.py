"""What a deformable 3x3 convolution reads: rows of a table of cells, and their weights.

Sampling is linear and sparse: a sampling point is a weighted sum of at most four rows of a table
that holds the feature vectors of every cell of every level and image. What to read, and with which
weight, is worked out once and serves all convolutions that share their sampling points, such as
both star convolutions of a head. A mask (DCNv2) is one more factor in the weights.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

TAPS = 9
CORNERS = 4

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
        shapes: (N, H', W') of the L output maps; none of a plan of chosen cells.
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
        sample = order.div(CORNERS, rounding_mode="floor")
        return Transposed(sample, order, counts.cumsum(0) - counts)

    def at(self, cells: Tensor) -> "GatherPlan":
        """The plan of chosen output cells.

        Args:
            cells: (U,) of the P cells, which follow levels, images, rows and columns.
        """
        index, weight = (
            x.view(-1, TAPS * CORNERS).index_select(0, cells).view(-1, CORNERS)
            for x in (self.index, self.weight)
        )
        return GatherPlan(index, weight, rows=self.rows, shapes=())


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
    moved = cell_rows(offsets).view(-1, TAPS, 2)
    weight_y, row = _neighbours(moved[..., 0] + cells.row, cells.height)
    weight_x, column = _neighbours(moved[..., 1] + cells.column, cells.width)
    if masks is not None:
        weight_y = weight_y * cell_rows(masks)[..., None]
    index = (cells.start[..., None] + row * cells.width[..., None])[..., :, None]
    index = index + column[..., None, :]
    weight = weight_y[..., :, None] * weight_x[..., None, :]
    return GatherPlan(
        index.reshape(-1, CORNERS),
        weight.reshape(-1, CORNERS),
        rows=sum(len(x) * h * w for x, (h, w) in zip(offsets, inputs, strict=True)),
        shapes=shapes,
    )


def neighbour_rows(shapes: Sequence[tuple[int, int, int]], cells: Tensor) -> tuple[Tensor, Tensor]:
    """The 3x3 neighbourhoods of chosen cells.

    Args:
        shapes: (N, H, W) of the L maps of a table.
        cells: (S,) table rows of the cells.

    Returns:
        (S, 9) table rows of the neighbours, row by row, and whether each lies inside the map; the
        row of one that does not is the cell's own.
    """
    sizes = tuple(shape[1:] for shape in shapes)
    of = _Cells(*(x[cells] for x in _cells(tuple(shapes), sizes, 1, cells.device)))
    inside = (of.row >= 0) & (of.row < of.height) & (of.column >= 0) & (of.column < of.width)
    rows = of.start + of.row * of.width + of.column
    return torch.where(inside, rows, cells[:, None]), inside


def cell_rows(maps: Sequence[Tensor]) -> Tensor:
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
    tap = torch.arange(TAPS, device=device)
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
    # An offset that is not a number gives a weight that is none, and must not point anywhere.
    return weight, cell.nan_to_num().clamp(min=0).minimum(size[..., None] - 1).long()
