"""The nearest cells of a box by definition: every cell is looked at."""

import torch
from torch import Tensor

from vfnet_d2.modeling.dense.matchers.grid import AnchorGrid


def nearest_of_all(
    grid: AnchorGrid, boxes: Tensor, valid: Tensor, topk: int
) -> tuple[Tensor, Tensor]:
    """Like ``nearest_in_window``, but compare every box with every cell and sort the distances."""
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2)[..., None]  # (M, 2, 1)
    found, exists = [], []
    for level, (columns, rows) in enumerate(grid.size.tolist()):
        dx2, dy2 = (
            _squared(grid, level, axis, count, centre[:, axis]).masked_fill(
                torch.arange(count, device=boxes.device) >= valid[:, level, axis, None], torch.inf
            )
            for axis, count in enumerate((columns, rows))
        )
        distance = (dx2[:, None, :] + dy2[:, :, None]).sqrt().flatten(1)  # (M, rows * columns)
        distance, cell = distance.sort(dim=1, stable=True)
        found.append(grid.start[level] + cell[:, :topk])
        exists.append(distance[:, :topk] < torch.inf)
    return torch.cat(found, dim=1).t(), torch.cat(exists, dim=1).t()


def _squared(grid: AnchorGrid, level: int, axis: int, count: int, centre: Tensor) -> Tensor:
    """Squared distances (M, count) of centres (M, 1) from a level's lines along an axis."""
    line = torch.arange(count, device=centre.device)
    return (line * grid.step[level, axis] + grid.origin[level, axis] - centre).square()
