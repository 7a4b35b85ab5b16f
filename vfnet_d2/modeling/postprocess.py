"""From dense scores and boxes to the detections of an image (Sec. 4.5).

Order: threshold, best candidates of each level, decode, clip to the image, drop empty boxes,
suppress, best of the image.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from detectron2.layers import batched_nms
from detectron2.structures import Boxes, Instances
from torch import Tensor


def select_pairs(scores: Tensor, *, score_thresh: float, topk: int) -> tuple[Tensor, Tensor]:
    """The ``topk`` best (anchor, class) pairs above the threshold.

    Args:
        scores: (R, K) in [0, 1].
        score_thresh: a pair must score strictly more.
        topk: most pairs kept.

    Returns:
        anchor and class index (P,) of each pair, best first.
    """
    anchor, category = torch.nonzero(scores > score_thresh, as_tuple=True)
    kept = scores[anchor, category]
    best = kept.topk(min(topk, len(kept))).indices
    return anchor[best], category[best]


def select_points(scores: Tensor, *, score_thresh: float, topk: int) -> tuple[Tensor, Tensor]:
    """All pairs above the threshold of the ``topk`` anchors whose best class scores highest.

    This is how the authors' own evaluation counted; arguments as in :func:`select_pairs`.
    """
    best = scores.amax(dim=1).topk(min(topk, len(scores))).indices
    rank, category = torch.nonzero(scores[best] > score_thresh, as_tuple=True)
    return best[rank], category


CANDIDATE_SELECTORS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "pairs": select_pairs,
    "points": select_points,
}


@runtime_checkable
class Suppression(Protocol):
    """Seam: remove duplicates."""

    def __call__(self, boxes: Tensor, scores: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Map boxes (P, 4), scores (P,), classes (P,) to kept indices, best first, and scores."""
        ...


class ClasswiseNMS:
    """Greedy non-maximum suppression within each class.

    Args:
        iou_thresh: a box that overlaps a better one by more than this IoU goes.
    """

    def __init__(self, iou_thresh: float = 0.6) -> None:
        self.iou_thresh = iou_thresh

    def __call__(self, boxes: Tensor, scores: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Suppression`."""
        keep = batched_nms(boxes, scores, classes, self.iou_thresh)
        return keep, scores[keep]


def decode_level(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    quality: Tensor | None = None,
    *,
    select: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates of one level of one image.

    Args:
        logits: (R, K) before the sigmoid.
        deltas: (R, 4) in the box coder's encoding.
        anchors: (R, 4) in pixels.
        quality: (R,) before the sigmoid; what is selected by class score alone is then ranked by
            class score times quality.
        select: a candidate selector with its arguments bound.
        decode: the box coder's ``apply_deltas``.

    Returns:
        boxes (P, 4) in pixels, scores (P,) and classes (P,).
    """
    scores = logits.sigmoid()
    anchor, category = select(scores)
    chosen = scores[anchor, category]
    if quality is not None:
        chosen = chosen * quality[anchor].sigmoid()
    return decode(deltas[anchor], anchors[anchor]), chosen, category


def suppress_image(
    levels: Sequence[tuple[Tensor, Tensor, Tensor]],
    image_size: tuple[int, int],
    *,
    suppression: Suppression,
    max_detections: int,
) -> Instances:
    """Join the levels' candidates of an image and keep its best detections.

    Args:
        levels: per level the result of :func:`decode_level`.
        image_size: height and width of the image without padding, in pixels.
        suppression: how duplicates go.
        max_detections: most detections kept.

    Returns:
        ``Instances`` with ``pred_boxes``, ``scores`` and ``pred_classes``, best first.
    """
    boxes, scores, classes = (torch.cat(parts) for parts in zip(*levels, strict=True))
    clipped = Boxes(boxes)
    clipped.clip(image_size)
    whole = clipped.nonempty()
    boxes, scores, classes = clipped.tensor[whole], scores[whole], classes[whole]
    keep, scores = suppression(boxes, scores, classes)
    keep, scores = keep[:max_detections], scores[:max_detections]
    return Instances(
        image_size, pred_boxes=Boxes(boxes[keep]), scores=scores, pred_classes=classes[keep]
    )


def detect(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    *,
    quality: Sequence[Tensor] | None = None,
    select: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: Callable[[Tensor, Tensor], Tensor],
    suppression: Suppression,
    max_detections: int,
) -> list[Instances]:
    """Detections of each image of a batch.

    Args:
        logits: L tensors (N, R, K).
        deltas: L tensors (N, R, 4).
        anchors: L tensors (R, 4).
        image_sizes: of the N images without padding.
        quality: L tensors (N, R), or None.
        select: see :func:`decode_level`.
        decode: see :func:`decode_level`.
        suppression: see :func:`suppress_image`.
        max_detections: see :func:`suppress_image`.
    """
    results = []
    for image, image_size in enumerate(image_sizes):
        parts = [[x[image] for x in kind] for kind in (logits, deltas)] + [list(anchors)]
        if quality is not None:
            parts.append([x[image] for x in quality])
        levels = [
            decode_level(*level, select=select, decode=decode) for level in zip(*parts, strict=True)
        ]
        results.append(
            suppress_image(
                levels, image_size, suppression=suppression, max_detections=max_detections
            )
        )
    return results
