"""How duplicates among the candidates of an image go: NMS and soft-NMS."""

from typing import Protocol, runtime_checkable

import torch
from detectron2.layers import batched_nms
from detectron2.utils.registry import Registry
from torch import Tensor

from vfnet_d2.layers.soft_nms import DECAYS, soft_nms
from vfnet_d2.utils.registry import lookup_name

SUPPRESSION_REGISTRY = Registry("SUPPRESSION")
SUPPRESSION_REGISTRY.__doc__ = "Registry of ways to remove duplicates."

# Among ten times as many candidates there are almost always enough detections.
_CANDIDATES_PER_DETECTION = 10


@runtime_checkable
class Suppression(Protocol):
    """Seam: remove duplicates."""

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """Find the best detections.

        Args:
            boxes: (P, 4).
            scores: (P,).
            classes: (P,).
            limit: how many detections are wanted; a suppression may stop there, or return more.

        Returns:
            indices of what is kept, best first, and their scores.
        """
        ...


@SUPPRESSION_REGISTRY.register()
class ClasswiseNMS:
    """Greedy non-maximum suppression within each class.

    Args:
        iou_thresh: a box that overlaps a better one by more than this IoU goes.
    """

    def __init__(self, iou_thresh: float) -> None:
        self.iou_thresh = iou_thresh

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Suppression`."""
        # A box is suppressed by better ones alone. So when enough of the best candidates stay,
        # the others need no look; their cost would be quadratic.
        first = scores.topk(min(len(scores), _CANDIDATES_PER_DETECTION * limit)).indices
        keep = first[batched_nms(boxes[first], scores[first], classes[first], self.iou_thresh)]
        if len(keep) < limit and len(first) < len(scores):
            keep = batched_nms(boxes, scores, classes, self.iou_thresh)
        return keep, scores[keep]


@SUPPRESSION_REGISTRY.register()
class SoftNMS:
    """Soft-NMS within each class (Bodla et al., ICCV 2017); VFNet-X takes linear at IoU 0.65.

    Args:
        iou_thresh: "linear" lowers scores from this IoU on; "gaussian" has no threshold.
        method: "linear" or "gaussian".
        sigma: width of "gaussian".
        min_score: boxes whose score falls below it go.

    Raises:
        ValueError: unknown method, or sigma or the lowest score is not above 0.
    """

    def __init__(
        self,
        *,
        iou_thresh: float,
        method: str = "linear",
        sigma: float = 0.5,
        min_score: float = 1e-3,
    ) -> None:
        lookup_name(DECAYS, method, key="method")
        for name, value in (("sigma", sigma), ("min_score", min_score)):
            if not value > 0:
                raise ValueError(f"soft-NMS: {name} is {value}; it must be above 0")
        self.iou_thresh = iou_thresh
        self.method = method
        self.sigma = sigma
        self.min_score = min_score

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Suppression`."""
        rule = DECAYS[self.method]

        def decay(iou: Tensor) -> Tensor:
            return rule(iou, self.iou_thresh, self.sigma)

        return soft_nms(boxes, scores, classes, decay=decay, min_score=self.min_score, limit=limit)


class KeepAll:
    """No suppression: every candidate stays, in the order it comes in."""

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Suppression`; the limit does not count, and the best is not first."""
        return torch.arange(len(scores), device=scores.device), scores
