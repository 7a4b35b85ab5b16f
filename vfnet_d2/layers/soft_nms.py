"""Soft-NMS (Bodla et al., ICCV 2017): overlapping boxes lose score instead of going."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchvision.ops import box_iou

Decay = Callable[[Tensor, float, float], Tensor]


def linear_decay(iou: Tensor, iou_thresh: float, sigma: float) -> Tensor:
    """``1 - IoU`` from the threshold on, 1 below it; Sec. 3 of the paper, first rule."""
    del sigma
    return torch.where(iou >= iou_thresh, 1 - iou, 1.0)


def gaussian_decay(iou: Tensor, iou_thresh: float, sigma: float) -> Tensor:
    """``exp(-IoU^2 / sigma)`` at every overlap; Sec. 3 of the paper, second rule."""
    del iou_thresh
    return torch.exp(-(iou**2) / sigma)


DECAYS: Mapping[str, Decay] = {"linear": linear_decay, "gaussian": gaussian_decay}


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    *,
    decay: Callable[[Tensor], Tensor],
    min_score: float,
    limit: int,
) -> tuple[Tensor, Tensor]:
    """Take the best box, lower the scores of its class by their overlap with it, and so on.

    Args:
        boxes: (P, 4) in pixels.
        scores: (P,).
        classes: (P,); boxes of different classes leave each other alone.
        decay: factors of scores, of the IoU (P,) with the box that was taken.
        min_score: boxes whose score falls below it go; above 0.
        limit: most boxes taken.

    Returns:
        indices of the boxes taken, best first, and their scores when they were taken.
    """
    remaining = scores.clone()
    # Nothing here waits for a GPU: what is taken too late is cut off at the end.
    steps = min(limit, len(scores))
    taken = torch.zeros(steps, dtype=torch.long, device=scores.device)
    taken_scores = torch.zeros(steps, dtype=scores.dtype, device=scores.device)
    for step in range(steps):
        best = remaining.argmax(keepdim=True)
        taken[step], taken_scores[step] = best[0], remaining[best][0]
        iou = box_iou(boxes[best], boxes)[0] * (classes == classes[best])
        remaining = remaining * decay(iou)
        remaining[best] = 0
    kept = taken_scores >= min_score
    return taken[kept], taken_scores[kept]
