"""Adaptive Training Sample Selection (Zhang et al., CVPR 2020, Alg. 1).

The definition compares every box with every anchor. The k nearest centres of a box on a level are
found among the few grid cells around its centre instead (`window_search.py`), so time and memory
grow with boxes x levels x k only; the assignment is the same, ties included. Boxes are taken in
blocks, which bounds the memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.losses.box import paired_iou
from vfnet_d2.modeling.dense.matchers.grid import anchor_grid
from vfnet_d2.modeling.dense.matchers.own_padding import Size, inside_own_padding, open_cells
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.matchers.window_search import nearest_in_window
from vfnet_d2.modeling.dense.structures import Assignment, assign_each_anchor

# A point must lie inside a box by more than this many pixels to be positive for it.
INSIDE_MARGIN = 0.01
# Boxes searched at once, of all images: bounds the memory of crowded batches to some 40 MB. With
# far smaller blocks, starting the operations takes longer than what they compute.
BLOCK = 8192
# Below every claim: claims hold the bits of an IoU above a box's number.
_UNCLAIMED = -1


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
    """

    def __init__(self, *, topk: int = 9) -> None:
        if topk < 1:
            raise ValueError(f"topk is {topk}, but must be at least 1")
        self.topk = topk

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
        *,
        padded_sizes: Sequence[Size] | None = None,
    ) -> Assignment:
        """See :class:`~vfnet_d2.modeling.dense.matchers.registry.Matcher`."""
        del predicted
        sizes = padded_sizes or [target.image_size for target in targets]
        grid = anchor_grid(anchors)
        flat = torch.cat([boxes.tensor for boxes in anchors]).float()  # (R, 4)
        valid = open_cells(grid, sizes)  # (N, L, 2)
        labels = inside_own_padding(anchors, sizes).to(torch.int8) - 1  # (N, R)
        best = torch.full_like(labels, _UNCLAIMED, dtype=torch.int64)
        gts = _gather_targets(targets, flat.device)
        for start in range(0, len(gts.boxes), BLOCK):
            block = _Targets(*(x[start : start + BLOCK] for x in gts))
            candidates, is_candidate = nearest_in_window(
                grid, block.boxes, valid[block.image], self.topk
            )
            positive, iou = _select(flat, block.boxes, candidates, is_candidate)
            _claim(best, block, candidates, positive, iou)
        return _resolve(labels, best)


def _gather_targets(targets: Sequence[Instances], device: torch.device) -> _Targets:
    """Join the boxes of all images."""
    counts = [len(target) for target in targets]
    boxes = torch.cat([target.gt_boxes.tensor for target in targets]).to(device).float()
    image = torch.repeat_interleave(torch.tensor(counts)).to(device)
    index = torch.cat([torch.arange(count) for count in counts]).to(device)
    return _Targets(boxes, image, index)


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
