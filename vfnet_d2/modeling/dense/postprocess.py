"""From dense scores and boxes to the detections of an image (Sec. 4.5).

Order: threshold, best candidates of each level, their boxes, clip to the image, drop empty boxes,
suppress, best of the image.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.modeling.dense.structures import BoxStage, HeadOutputs, per_anchor
from vfnet_d2.modeling.detector import InferenceSettings
from vfnet_d2.modeling.suppression import Suppression

Candidates = tuple[Tensor, Tensor, Tensor]


def select_points(logits: Tensor, *, score_thresh: float, topk: int) -> Candidates:
    """All pairs above the threshold of the ``topk`` anchors whose best class scores highest.

    This is how the authors' own evaluation counted.

    Args:
        logits: (R, K) before the sigmoid.
        score_thresh: a pair must score strictly more, in [0, 1].
        topk: most anchors kept.

    Returns:
        anchor and class (P,) of each pair, and its score (P,) after the sigmoid.
    """
    best = logits.amax(dim=1).topk(min(topk, len(logits))).indices
    scores = logits[best].sigmoid()
    rank, category = torch.nonzero(scores > score_thresh, as_tuple=True)
    return best[rank], category, scores[rank, category]


def select_pairs(logits: Tensor, *, score_thresh: float, topk: int) -> Candidates:
    """The ``topk`` best (anchor, class) pairs above the threshold, best first.

    Arguments and result as in :func:`select_points`. These pairs all belong to the ``topk``
    anchors whose best class scores highest, so most classes of most anchors need no look.
    """
    anchor, category, scores = select_points(logits, score_thresh=score_thresh, topk=topk)
    best = scores.topk(min(topk, len(scores))).indices
    return anchor[best], category[best], scores[best]


CANDIDATE_SELECTORS: dict[str, Callable[..., Candidates]] = {
    "pairs": select_pairs,
    "points": select_points,
}


def decode_level(
    chosen: Candidates,
    deltas: Tensor,
    anchors: Tensor,
    quality: Tensor | None = None,
    *,
    decode: Callable[[Tensor, Tensor], Tensor],
) -> Candidates:
    """Boxes of one level of one image.

    Args:
        chosen: what a candidate selector returned.
        deltas: (P, 4) of the chosen anchors in the box coder's encoding.
        anchors: (R, 4) in pixels.
        quality: (R,) before the sigmoid; what is selected by class score alone is then ranked by
            class score times quality.
        decode: the box coder's ``apply_deltas``.

    Returns:
        boxes (P, 4) in pixels, scores (P,) and classes (P,).
    """
    anchor, category, scores = chosen
    if quality is not None:
        scores = scores * quality[anchor].sigmoid()
    return decode(deltas, anchors[anchor]), scores, category


def deltas_at(
    stage: BoxStage, anchors: Sequence[Sequence[Tensor]], sizes: Sequence[int]
) -> list[list[Tensor]]:
    """Deltas (P, 4) of chosen anchors.

    Args:
        stage: the box stage that counts.
        anchors: for each of N images, the indices (P,) on each of L levels.
        sizes: number of anchors of an image on each level.

    Returns:
        for each image, those of each level.
    """
    counts = [[len(level) for level in levels] for levels in anchors]
    image = torch.repeat_interleave(torch.tensor([sum(levels) for levels in counts]))
    starts = [0, *itertools.accumulate(sizes[:-1])]
    anchor = torch.cat(
        [a + start for levels in anchors for a, start in zip(levels, starts, strict=True)]
    )
    flat = list(itertools.chain.from_iterable(counts))
    found = iter(stage.at(image.to(anchor.device), anchor).split(flat))
    return [[next(found) for _ in levels] for levels in anchors]


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
    keep, scores = suppression(boxes, scores, classes, limit=max_detections)
    keep, scores = keep[:max_detections], scores[:max_detections]
    return Instances(
        image_size, pred_boxes=Boxes(boxes[keep]), scores=scores, pred_classes=classes[keep]
    )


def detect(
    outputs: HeadOutputs,
    anchors: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    *,
    num_classes: int,
    select: Callable[..., Candidates],
    topk: int,
    decode: Callable[[Tensor, Tensor], Tensor],
    settings: InferenceSettings,
) -> list[Instances]:
    """Detections of each image of a batch, from the last box stage.

    Args:
        outputs: of the head, for N images.
        anchors: L tensors (R, 4).
        image_sizes: of the N images without padding.
        num_classes: K.
        select: one of ``CANDIDATE_SELECTORS``.
        topk: see :func:`select_points`, on each level.
        decode: see :func:`decode_level`.
        settings: threshold, suppression and most detections.
    """
    logits = per_anchor(outputs.logits, num_classes)
    quality = outputs.quality and [x[..., 0] for x in per_anchor(outputs.quality, 1)]
    choose = functools.partial(select, score_thresh=settings.score_thresh, topk=topk)
    chosen = [[choose(level[image]) for level in logits] for image in range(len(image_sizes))]
    picked = [[anchor for anchor, *_ in levels] for levels in chosen]
    deltas = deltas_at(outputs.boxes[-1], picked, [len(level) for level in anchors])
    results = []
    for image, image_size in enumerate(image_sizes):
        qualities = [level[image] for level in quality] if quality else [None] * len(anchors)
        parts = zip(chosen[image], deltas[image], anchors, qualities, strict=True)
        levels = [decode_level(*level, decode=decode) for level in parts]
        results.append(
            suppress_image(
                levels,
                image_size,
                suppression=settings.suppression,
                max_detections=settings.max_detections,
            )
        )
    return results
