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
    corners = torch.stack([b.tensor[[0, min(1, len(b) - 1), -1]] for b in anchors])  # (L, 3, 4)
    centres = (corners[..., :2] + corners[..., 2:]).div(2).tolist()
    origins, steps, sizes = [], [], []
    for level, (first, second, last) in enumerate(centres):
        size, step = _level_grid(level, len(anchors[level]), first, second, last)
        origins.append(first)
        steps.append(step)
        sizes.append(size)
    device, dtype = anchors[0].tensor.device, anchors[0].tensor.dtype
    counts = torch.tensor([0] + [len(b) for b in anchors[:-1]])
    return AnchorGrid(
        origin=torch.tensor(origins, dtype=dtype, device=device),
        step=torch.tensor(steps, dtype=dtype, device=device),
        size=torch.tensor(sizes, device=device),
        start=counts.cumsum(0).to(device),
    )


def _level_grid(
    level: int, count: int, first: list[float], second: list[float], last: list[float]
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Columns, rows and steps of a level from its first, second and last centre."""
    step_x = second[0] - first[0]
    columns = round((last[0] - first[0]) / step_x) + 1 if step_x > 0 else 1
    rows = count // columns
    step_y = (last[1] - first[1]) / (rows - 1) if rows > 1 else 1.0
    if columns * rows != count or step_x < 0 or (rows > 1 and step_y <= 0):
        raise ValueError(
            f"the {count} anchors of level {level} are not a regular row-major grid with one "
            "anchor a cell; set one size and one aspect ratio a level in the anchor generator"
        )
    return (columns, rows), (step_x if columns > 1 else 1.0, step_y)
