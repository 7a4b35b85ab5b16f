"""Geometry of the regular grids that one-anchor-a-cell generators lay over an image."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.structures import Boxes
from torch import Tensor


class AnchorGrid(NamedTuple):
    """L regular grids of anchor centres, in pixels; one tensor entry a level.

    Attributes:
        origin: (L, 2) x and y of the first centre.
        step: (L, 2) distance between neighbouring centres along x and y; 1 where a level has a
            single column or row.
        size: (L, 2) int64, columns and rows.
        start: (L,) int64, index of the level's first anchor among all R anchors.
    """

    origin: Tensor
    step: Tensor
    size: Tensor
    start: Tensor


def anchor_grid(anchors: Sequence[Boxes]) -> AnchorGrid:
    """Recover the grids from the anchors themselves, with one transfer from the device.

    Args:
        anchors: L ``Boxes``, one anchor a cell, row-major.

    Raises:
        ValueError: a level is empty, or is not such a grid.
    """
    for level, boxes in enumerate(anchors):
        if len(boxes) == 0:
            raise ValueError(f"level {level} has no anchors: the feature map is empty")
    figures = torch.stack([_figures(boxes.tensor) for boxes in anchors]).tolist()
    origins, steps, sizes = [], [], []
    for level, (first_x, first_y, second_x, second_y, last_x, last_y, *size) in enumerate(figures):
        columns, rows = (int(number) for number in size)
        step_x = second_x - first_x if columns > 1 else 1.0
        step_y = (last_y - first_y) / (rows - 1) if rows > 1 else 1.0
        row_major = columns == 1 or second_y == first_y
        regular = step_x > 0 and step_y > 0 and round((last_x - first_x) / step_x) == columns - 1
        if columns * rows != len(anchors[level]) or not row_major or not regular:
            raise ValueError(
                f"the {len(anchors[level])} anchors of level {level} are not a regular row-major "
                "grid with one anchor a cell; set one size and one aspect ratio a level in the "
                "anchor generator"
            )
        origins.append((first_x, first_y))
        steps.append((step_x, step_y))
        sizes.append((columns, rows))
    device, dtype = anchors[0].tensor.device, anchors[0].tensor.dtype
    counts = torch.tensor([0] + [len(b) for b in anchors[:-1]])
    return AnchorGrid(
        origin=torch.tensor(origins, dtype=dtype, device=device),
        step=torch.tensor(steps, dtype=dtype, device=device),
        size=torch.tensor(sizes, device=device),
        start=counts.cumsum(0).to(device),
    )


def _figures(anchors: Tensor) -> Tensor:
    """Centres of the first, second and last of the anchors (R, 4), and columns and rows: (8,)."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    corners = centres[[0, min(1, len(centres) - 1), -1]]
    in_first_column, in_first_row = (centres == centres[0]).sum(0)
    size = torch.stack([in_first_row, in_first_column])
    return torch.cat([corners.flatten(), size.to(centres.dtype)])
