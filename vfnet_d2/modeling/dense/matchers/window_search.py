"""The nearest cells of a box, found among the few around its centre."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vfnet_d2.modeling.dense.matchers.grid import AnchorGrid

# Keys of the search hold the bits of a float32 above an index; from here on the float is infinite.
_NO_CELL = 0x7F800000 << 32


class _Pairs(NamedTuple):
    """Q pairs of a box and a level: the box's centre and the level's grid; x and y in pixels."""

    centre: Tensor  # (2, Q)
    origin: Tensor  # (2, Q)
    step: Tensor  # (2, Q)
    valid: Tensor  # (2, Q) columns and rows open to the box
    columns: Tensor  # (Q,) of the whole grid


def nearest_in_window(
    grid: AnchorGrid, boxes: Tensor, valid: Tensor, topk: int
) -> tuple[Tensor, Tensor]:
    """Find the anchors whose centres are nearest to the centres of boxes, on each level.

    Of equally near anchors, the ones of lower index are taken.

    Args:
        grid: the L grids.
        boxes: (M, 4) in pixels.
        valid: (M, L, 2) columns and rows open to the box.
        topk: anchors of a level.

    Returns:
        C anchor indices (C, M) of each box, and whether each entry is one: a level may have fewer
        than ``topk``.
    """
    num_levels, num_boxes = len(grid.start), len(boxes)
    # Boxes last, so that every operation runs along them: pairs of level and box (Q = L*M).
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2).t()
    pairs = _Pairs(
        centre=centre.repeat(1, num_levels),
        origin=grid.origin.t().repeat_interleave(num_boxes, dim=1),
        step=grid.step.t().repeat_interleave(num_boxes, dim=1),
        valid=valid.permute(2, 1, 0).flatten(1),
        columns=grid.size[:, 0].repeat_interleave(num_boxes),
    )
    nearest, complete = _search(pairs, topk, width=_likely_width(topk))
    rest = torch.nonzero(~complete)[:, 0]
    if len(rest) > 0:
        subset = _Pairs(*(x.index_select(-1, rest) for x in pairs))
        nearest[:, rest] = _search(subset, topk, width=topk + 1)[0]
    nearest = nearest.view(-1, num_levels, num_boxes)
    is_candidate = nearest < _NO_CELL
    index = (nearest & 0xFFFFFFFF).masked_fill_(~is_candidate, 0) + grid.start[:, None]
    return index.flatten(0, 1), is_candidate.flatten(0, 1)


def _likely_width(topk: int) -> int:
    """Width of the window that holds the ``topk`` nearest cells of most centres."""
    return math.isqrt(topk - 1) + 3


def _search(pairs: _Pairs, topk: int, *, width: int) -> tuple[Tensor, Tensor]:
    """The nearest cells of Q centres among the ``width`` x ``width`` cells around them.

    Returns:
        (topk, Q) sortable integers: the bits of the distance above, the cell's index within its
        level below, ``_NO_CELL`` and higher where there is none; and whether (Q,) no cell outside
        the window can be among them. A width of ``topk + 1`` always suffices.
    """
    (dx2, x, outside_x), (dy2, y, outside_y) = (_axis(pairs, axis, width) for axis in (0, 1))
    distance = (dx2 + dy2[:, None]).sqrt_()  # (width, width, Q)
    # The bits of a non-negative float order like the float, and the index in the low half breaks
    # ties as a stable dense sort would.
    key = distance.view(torch.int32).long().bitwise_left_shift_(32)
    key += x
    key += (y * pairs.columns)[:, None]
    nearest = key.flatten(0, 1).topk(topk, dim=0, largest=False).values
    outside = torch.minimum(outside_x, outside_y).sqrt_()
    farthest = (nearest.amax(dim=0) >> 32).int().view(torch.float32)
    return nearest, (farthest < outside).logical_or_(outside.isinf())


def _axis(pairs: _Pairs, axis: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distances along one axis of the ``width`` grid lines around each of Q centres.

    Returns:
        squared distances (width, Q), infinite for lines that do not exist; the lines' numbers
        (width, Q); the squared distance (Q,) of the nearest line outside, infinite without one.
    """
    centre, origin, step, valid = (x[axis] for x in pairs[:4])
    middle = ((centre - origin) / step).round_().long()
    start = torch.minimum(middle - width // 2, valid - width).clamp_(min=0)
    line = start + torch.arange(-1, width + 1, device=start.device)[:, None]
    squared = (line * step).add_(origin).sub_(centre).square_()
    squared.masked_fill_((line >= valid).logical_or_(line < 0), torch.inf)
    return squared[1:-1], line[1:-1], torch.minimum(squared[0], squared[-1])
