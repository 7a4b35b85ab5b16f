"""Matching by the highest IoU, as in RetinaNet (ICCV 2017, Sec. 4.1)."""

from collections.abc import Sequence

import torch
from detectron2.modeling.matcher import Matcher as IoUThresholds
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from vfnet_d2.modeling.dense.matchers.own_padding import Size, inside_own_padding
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.structures import Assignment, assign_each_anchor

# IoUs held at a time; computing them takes 0.3 GB at the peak, as measured on a CPU.
MAX_PAIRS = 2**22


@MATCHER_REGISTRY.register()
class MaxIoUMatcher:
    """Assign each anchor to the box that it overlaps most, if by enough.

    A box's best anchors are positive for it at any overlap ("low-quality matches"). An anchor that
    is the best of several boxes goes to the last of them; Detectron2's ``Matcher`` would give it
    to the box that it overlaps most, even if another anchor is that box's best.

    Cost: image by image, one IoU for each of the R anchors and M boxes: 0.6 billion for the
    200,700 anchors of a RetinaNet at 1333 x 800 and 3,000 boxes. They are computed some boxes at
    a time, so memory does not grow with M.

    Args:
        positive_iou: an anchor with at least this IoU is positive.
        negative_iou: one with less than this is negative; in between it takes no part.
    """

    def __init__(self, *, positive_iou: float = 0.5, negative_iou: float = 0.4) -> None:
        if not 0 < negative_iou <= positive_iou:
            raise ValueError(
                f"positive_iou ({positive_iou}) must not be below negative_iou ({negative_iou}), "
                "which must be above 0"
            )
        self.positive_iou = positive_iou
        self.negative_iou = negative_iou
        self._thresholds = IoUThresholds([negative_iou, positive_iou], [0, -1, 1])

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
        *,
        padded_sizes: Sequence[Size] | None = None,
    ) -> Assignment:
        """See :class:`~vfnet_d2.modeling.dense.matchers.registry.Matcher`.

        With ``predicted``, these are matched in the place of the anchors they belong to.
        """
        candidates = predicted or [Boxes.cat(list(anchors))] * len(targets)
        inside = inside_own_padding(anchors, padded_sizes or [x.image_size for x in targets])
        gt_idxs, labels = [], []
        for target, boxes, mask in zip(targets, candidates, inside, strict=True):
            idxs, label = self._match(boxes, target.gt_boxes, mask)
            gt_idxs.append(idxs)
            labels.append(label.masked_fill(~mask, -1))
        return assign_each_anchor(torch.stack(gt_idxs), torch.stack(labels))

    def _match(self, anchors: Boxes, boxes: Boxes, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Return box (R,) and label (R,) of each of R anchors, given which of them take part."""
        best = torch.zeros_like(anchors.tensor[:, 0])
        gt_idxs = torch.zeros_like(best, dtype=torch.int64)
        claimed = torch.full_like(gt_idxs, -1)
        number = torch.arange(len(boxes), device=best.device)
        step = max(1, MAX_PAIRS // max(1, len(anchors)))
        for start in range(0, len(boxes), step):
            ious = pairwise_iou(boxes[start : start + step], anchors) * inside
            value, index = ious.max(dim=0)
            gt_idxs = torch.where(value > best, index + start, gt_idxs)
            best = torch.maximum(best, value)
            highest = ious.amax(dim=1, keepdim=True)
            # A box that overlaps no anchor at all would claim every one of them.
            is_best = (ious == highest) & (highest > 0)
            claims = torch.where(is_best, number[start : start + step, None], -1).amax(dim=0)
            claimed = torch.maximum(claimed, claims)
        _, labels = self._thresholds(best[None])
        is_claimed = claimed >= 0
        return torch.where(is_claimed, claimed, gt_idxs), labels.masked_fill(is_claimed, 1)
