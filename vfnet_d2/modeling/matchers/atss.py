"""Adaptive Training Sample Selection (Zhang et al., CVPR 2020, Alg. 1).

The dense definition compares every box with every anchor. Here the k nearest centres of a box on a
level are found among the few grid cells around its centre, so time and memory grow with
boxes x levels x k only; the assignment is the dense one, ties included.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.losses.box import paired_iou
from vfnet_d2.modeling.matchers.grid import AnchorGrid, anchor_grid
from vfnet_d2.modeling.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.structures import Assignment

# A point must lie inside a box by more than this many pixels to be positive for it.
INSIDE_MARGIN = 0.01
_LAST = torch.iinfo(torch.int64).max


class _Targets(NamedTuple):
    """The M boxes of all N images in one pass."""

    boxes: Tensor  # (M, 4) float32, pixels
    image: Tensor  # (M,) image of the box
    number: Tensor  # (M,) its number within the image


@MATCHER_REGISTRY.register()
class ATSSMatcher:
    """Assign points to boxes by the statistics of each box's nearest anchors.

    Args:
        topk: candidates a box takes from each level (fewer if the level has fewer).
        size_divisibility: an image's own padded size is its size rounded up to this multiple;
            anchors outside it belong to the batch's padding and take no part.
    """

    def __init__(self, *, topk: int = 9, size_divisibility: int = 32) -> None:
        if topk < 1 or size_divisibility < 1:
            raise ValueError(
                f"topk ({topk}) and size_divisibility ({size_divisibility}) must be at least 1"
            )
        self.topk = topk
        self.size_divisibility = size_divisibility
        self._rank_x, self._rank_y = _candidate_ranks(topk)

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
    ) -> Assignment:
        """See :class:`~vfnet_d2.modeling.matchers.registry.Matcher`; ``predicted`` is not used."""
        del predicted
        grid = anchor_grid(anchors)
        flat = torch.cat([boxes.tensor for boxes in anchors]).float()  # (R, 4)
        valid = self._valid_size(grid, targets)  # (N, L, 2)
        labels = _label_valid(grid, valid, num_anchors=len(flat))
        gt_idxs = torch.zeros_like(labels, dtype=torch.int64)
        gts = _gather_targets(targets, flat.device)
        if len(gts.boxes) == 0:
            return Assignment(gt_idxs, labels)
        candidates, is_candidate = self._nearest(grid, gts.boxes, valid[gts.image])
        positive, iou = _select(flat, gts.boxes, candidates, is_candidate)
        return _resolve(labels, gt_idxs, gts, candidates, positive, iou)

    def _valid_size(self, grid: AnchorGrid, targets: Sequence[Instances]) -> Tensor:
        """Columns and rows (N, L, 2) whose centres lie inside each image's own padded size."""
        unit = self.size_divisibility
        sizes = [[-(-w // unit) * unit, -(-h // unit) * unit] for h, w in _sizes(targets)]
        padded = torch.tensor(sizes, dtype=grid.step.dtype).to(grid.step.device)
        cells = ((padded[:, None] - grid.origin) / grid.step).ceil().long()
        return torch.minimum(cells.clamp(min=1), grid.size)

    def _nearest(self, grid: AnchorGrid, boxes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """The ``topk`` anchors nearest to each box's centre on each level.

        Args:
            grid: the L grids.
            boxes: (M, 4).
            valid: (M, L, 2) columns and rows open to the box.

        Returns:
            anchor indices (M, L*k) and whether each entry is one (a level may have fewer).
        """
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        dx2, column = self._axis(grid.origin[:, 0], grid.step[:, 0], centre[:, 0], valid[..., 0])
        dy2, row = self._axis(grid.origin[:, 1], grid.step[:, 1], centre[:, 1], valid[..., 1])
        rank_x, rank_y = self._rank_x.to(boxes.device), self._rank_y.to(boxes.device)
        # index_select: several times faster here than indexing with a tensor
        distance = dx2.index_select(-1, rank_x).add_(dy2.index_select(-1, rank_y)).sqrt_()
        index = (row * grid.size[:, 0, None]).index_select(-1, rank_y)  # (M, L, C)
        index += column.index_select(-1, rank_x)
        # One sortable integer: the bits of a non-negative float order like the float, and the
        # index in the low half breaks ties as a stable dense sort would.
        key = (distance.view(torch.int32).long() << 32).bitwise_or_(index)
        key.masked_fill_(distance.isinf(), _LAST)
        nearest = key.topk(self.topk, dim=-1, largest=False).values
        is_candidate = nearest != _LAST
        index = (nearest & 0xFFFFFFFF).masked_fill(~is_candidate, 0) + grid.start[:, None]
        return index.flatten(1), is_candidate.flatten(1)

    def _axis(
        self, origin: Tensor, step: Tensor, centre: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Squared distances (M, L, k+1) of the nearest grid lines of one axis, sorted, and which.

        Lines that do not exist are infinitely far.
        """
        width = self.topk + 1
        cell = ((centre[:, None] - origin) / step).floor().long()
        start = torch.minimum(cell - (width - 1) // 2, valid - width).clamp(min=0)
        line = start[..., None] + torch.arange(width, device=centre.device)
        squared = (line * step[:, None] + origin[:, None] - centre[:, None, None]).square()
        squared = squared.masked_fill(line >= valid[..., None], torch.inf)
        squared, order = squared.sort(dim=-1, stable=True)
        return squared, line.gather(-1, order)


def _candidate_ranks(topk: int) -> tuple[Tensor, Tensor]:
    """Pairs (column rank, row rank) that can be among the ``topk`` nearest cells.

    All cells at most as far on both axes are at most as far in the plane, so rank (a, b) has
    (a + 1)(b + 1) - 1 cells before it. Two lines that mirror each other around the centre may
    differ by less than the distance's rounding and swap places; one rank of slack covers that.
    """
    ranks = torch.arange(topk + 1)
    before = ranks.clamp(min=1)[:, None] * ranks.clamp(min=1)[None, :]
    rank_x, rank_y = torch.nonzero(before <= topk, as_tuple=True)
    return rank_x, rank_y


def _sizes(targets: Sequence[Instances]) -> list[tuple[int, int]]:
    """Height and width of each image."""
    return [target.image_size for target in targets]


def _gather_targets(targets: Sequence[Instances], device: torch.device) -> _Targets:
    """Join the boxes of all images."""
    counts = [len(target) for target in targets]
    boxes = torch.cat([target.gt_boxes.tensor for target in targets]).to(device).float()
    image = torch.repeat_interleave(torch.tensor(counts)).to(device)
    index = torch.cat([torch.arange(count) for count in counts]).to(device)
    return _Targets(boxes, image, index)


def _label_valid(grid: AnchorGrid, valid: Tensor, *, num_anchors: int) -> Tensor:
    """Labels (N, R): 0 inside an image's own padded size, -1 outside."""
    position = torch.arange(num_anchors, device=valid.device)
    level = torch.searchsorted(grid.start, position, right=True) - 1
    cell = position - grid.start[level]
    columns = grid.size[level, 0]
    inside_x = cell % columns < valid[:, level, 0]
    inside_y = cell.div(columns, rounding_mode="floor") < valid[:, level, 1]
    return (inside_x & inside_y).to(torch.int8) - 1


def _select(
    anchors: Tensor, boxes: Tensor, candidates: Tensor, is_candidate: Tensor
) -> tuple[Tensor, Tensor]:
    """Positive mask and IoU, both (M, C), of the candidates (M, C) of each box."""
    num_boxes, num_candidates = candidates.shape
    anchor = anchors.index_select(0, candidates.flatten())
    box = boxes.repeat_interleave(num_candidates, dim=0)
    iou = paired_iou(anchor, box).view(num_boxes, num_candidates)
    count = is_candidate.sum(1, keepdim=True)
    known = iou.double().masked_fill(~is_candidate, 0)
    mean = known.sum(1, keepdim=True) / count
    deviation = (known - mean).masked_fill(~is_candidate, 0).square().sum(1, keepdim=True)
    threshold = mean + (deviation / (count - 1).clamp(min=1)).sqrt()
    centre = (anchor[:, :2] + anchor[:, 2:]) / 2
    margin = torch.cat([centre - box[:, :2], box[:, 2:] - centre], dim=1).amin(dim=1)
    inside = (margin > INSIDE_MARGIN).view_as(iou)
    return is_candidate & inside & (known >= threshold), iou


def _resolve(
    labels: Tensor,
    gt_idxs: Tensor,
    gts: _Targets,
    candidates: Tensor,
    positive: Tensor,
    iou: Tensor,
) -> Assignment:
    """Give each point to the claiming box of highest IoU (the first of equals)."""
    num_anchors = labels.shape[1]
    point = (candidates + gts.image[:, None] * num_anchors)[positive]
    # As in the search, IoU bits above and the index below; the index counts down from the top so
    # that the maximum keeps the first box.
    index = gts.number[:, None].expand_as(candidates)[positive]
    key = (iou[positive].view(torch.int32).long() << 32) | (0xFFFFFFFF - index)
    best = torch.full((labels.numel(),), -1, dtype=torch.int64, device=labels.device)
    best.scatter_reduce_(0, point, key, "amax")
    best = best.view_as(labels)
    taken = best >= 0
    winner = 0xFFFFFFFF - (best & 0xFFFFFFFF)
    return Assignment(
        torch.where(taken, winner, gt_idxs), torch.where(taken, torch.ones_like(labels), labels)
    )
