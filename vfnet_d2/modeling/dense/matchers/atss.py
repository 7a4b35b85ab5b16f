"""Adaptive Training Sample Selection (Zhang et al., CVPR 2020, Alg. 1).

The definition compares every box with every anchor (`dense_search.py`). Usually the k nearest
centres of a box on a level are found among the few grid cells around its centre instead
(`window_search.py`), so time and memory grow with boxes x levels x k only; the assignment is the
same, ties included. Boxes are taken in blocks, which bounds the memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.losses.box import paired_iou
from vfnet_d2.modeling.dense.matchers.dense_search import Search, nearest_of_all
from vfnet_d2.modeling.dense.matchers.grid import AnchorGrid, anchor_grid
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.matchers.window_search import nearest_in_window
from vfnet_d2.modeling.dense.structures import Assignment, assign_each_anchor
from vfnet_d2.utils.registry import lookup_name

# A point must lie inside a box by more than this many pixels to be positive for it.
INSIDE_MARGIN = 0.01
# Boxes searched at once, of all images: bounds the memory of crowded batches to some 40 MB. With
# far smaller blocks, starting the operations takes longer than what they compute.
BLOCK = 8192
# Below every claim: claims hold the bits of an IoU above a box's number.
_UNCLAIMED = -1

SEARCHES: dict[str, Search] = {"window": nearest_in_window, "dense": nearest_of_all}


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
        search: how these are found: "window" looks around the box, "dense" at all anchors.
        size_divisibility: an image's own padded size is its size rounded up to this multiple;
            anchors outside it belong to the batch's padding and take no part.
    """

    def __init__(
        self, *, topk: int = 9, search: str = "window", size_divisibility: int = 32
    ) -> None:
        if topk < 1 or size_divisibility < 1:
            raise ValueError(
                f"topk ({topk}) and size_divisibility ({size_divisibility}) must be at least 1"
            )
        self.topk = topk
        self.search = lookup_name(SEARCHES, search, key="search")
        self.size_divisibility = size_divisibility

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
    ) -> Assignment:
        """See :class:`~vfnet_d2.modeling.dense.matchers.registry.Matcher`."""
        del predicted
        grid = anchor_grid(anchors)
        flat = torch.cat([boxes.tensor for boxes in anchors]).float()  # (R, 4)
        valid = self._valid_size(grid, targets)  # (N, L, 2)
        labels = _label_valid(grid, valid, num_anchors=len(flat))
        best = torch.full_like(labels, _UNCLAIMED, dtype=torch.int64)
        gts = _gather_targets(targets, flat.device)
        for start in range(0, len(gts.boxes), BLOCK):
            block = _Targets(*(x[start : start + BLOCK] for x in gts))
            candidates, is_candidate = self.search(grid, block.boxes, valid[block.image], self.topk)
            positive, iou = _select(flat, block.boxes, candidates, is_candidate)
            _claim(best, block, candidates, positive, iou)
        return _resolve(labels, best)

    def _valid_size(self, grid: AnchorGrid, targets: Sequence[Instances]) -> Tensor:
        """Columns and rows (N, L, 2) whose centres lie inside each image's own padded size."""
        unit = self.size_divisibility
        images = [target.image_size for target in targets]
        sizes = [[-(-w // unit) * unit, -(-h // unit) * unit] for h, w in images]
        padded = torch.tensor(sizes, dtype=grid.step.dtype).to(grid.step.device)
        cells = ((padded[:, None] - grid.origin) / grid.step).ceil().long()
        return torch.minimum(cells.clamp(min=1), grid.size)


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
    """Positive mask and IoU, both (C, M), of the candidates (C, M) of each box."""
    # (C, M, 4) and (M, 4) seen through (4, C, M) and (4, M): coordinates of one kind lie together
    anchor = anchors.t().contiguous().index_select(1, candidates.flatten())
    anchor = anchor.view(4, *candidates.shape).permute(1, 2, 0)
    box = boxes.t().contiguous().t()
    iou = paired_iou(anchor, box)
    count = is_candidate.sum(0)
    known = iou.double().masked_fill_(~is_candidate, 0)
    mean = known.sum(0) / count
    deviation = (known - mean).masked_fill_(~is_candidate, 0).square_().sum(0)
    threshold = mean + (deviation / (count - 1).clamp(min=1)).sqrt()
    centre = (anchor[..., :2] + anchor[..., 2:]) / 2
    margin = torch.minimum(centre - box[:, :2], box[:, 2:] - centre).amin(dim=-1)
    inside = margin > INSIDE_MARGIN
    return is_candidate & inside & (known >= threshold), iou


def _claim(best: Tensor, gts: _Targets, candidates: Tensor, positive: Tensor, iou: Tensor) -> None:
    """Enter each positive pair into ``best`` (N, R), which keeps the highest claim of a point."""
    entry, claimant = torch.nonzero(positive, as_tuple=True)
    point = candidates[entry, claimant] + gts.image[claimant] * best.shape[1]
    # The bits of a non-negative float order like the float: those of the IoU above, and below the
    # box's number, which counts down from the top so that the maximum keeps the first of equals.
    bits = iou[entry, claimant].view(torch.int32).long() << 32
    best.view(-1).scatter_reduce_(0, point, bits | (0xFFFFFFFF - gts.number[claimant]), "amax")


def _resolve(labels: Tensor, best: Tensor) -> Assignment:
    """Give each point to the claiming box of highest IoU (the first of equals)."""
    taken = best > _UNCLAIMED
    winner = 0xFFFFFFFF - (best & 0xFFFFFFFF)
    return assign_each_anchor(winner.masked_fill_(~taken, 0), labels.masked_fill(taken, 1))
