"""Candidates, and suppression written out as loops over pairs of boxes."""

import math

import torch
from torch import Tensor


def random_candidates(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes within 100 x 100 pixels, scores and three classes."""
    generator = torch.Generator().manual_seed(seed)
    corner = 60 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(count, 2, generator=generator)], dim=1)
    classes = torch.randint(3, (count,), generator=generator)
    return boxes, torch.rand(count, generator=generator), classes


def iou(a: list[float], b: list[float]) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(areas) - width * height)


def naive_soft_nms(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    *,
    method: str,
    iou_thresh: float,
    sigma: float,
    min_score: float,
) -> list[tuple[int, float]]:
    """Indices and final scores, class by class, then sorted."""
    taken: list[tuple[int, float]] = []
    for category in set(classes.tolist()):
        left = {i: float(scores[i]) for i in range(len(scores)) if classes[i] == category}
        while left:
            best = max(left, key=lambda i: left[i])
            score = left.pop(best)
            if score < min_score:
                break
            taken.append((best, score))
            for other in left:
                overlap = iou(boxes[best].tolist(), boxes[other].tolist())
                if method == "gaussian":
                    left[other] *= math.exp(-overlap * overlap / sigma)
                elif overlap >= iou_thresh:
                    left[other] *= 1 - overlap
    return sorted(taken, key=lambda pair: -pair[1])
