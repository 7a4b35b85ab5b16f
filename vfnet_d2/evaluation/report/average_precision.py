"""COCO's average precision at one IoU threshold, from detections that are right or wrong."""

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData, class_counts
from vfnet_d2.evaluation.report.matching import Matching, match

RECALLS = np.linspace(0, 1, 101)


def average_precision(scores: np.ndarray, right: np.ndarray, objects: int) -> float:
    """Mean over 101 recalls of the best precision at that recall or a higher one.

    Args:
        scores: (D,).
        right: (D,) bool.
        objects: how many there are to find; at least 1.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    position = np.searchsorted(hits / objects, RECALLS, side="left")
    reached = position < len(hits)
    return float(envelope[position[reached]].sum() / len(RECALLS))


def class_aps(
    scores: np.ndarray, classes: np.ndarray, right: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """AP (K,) of each class in [0, 1]; NaN for a class without objects.

    Args:
        scores: (D,).
        classes: (D,).
        right: (D,) bool.
        objects: (K,) how many there are of each class.
    """
    return np.array(
        [
            average_precision(scores[classes == label], right[classes == label], int(count))
            if count
            else np.nan
            for label, count in enumerate(objects)
        ]
    )


def class_ap50(data: EvaluationData, matching: Matching | None = None) -> np.ndarray:
    """AP (K,) at IoU 0.5 of each class in [0, 1]; NaN for a class without objects."""
    matching = match(data) if matching is None else matching
    kept = ~matching.ignored
    return class_aps(
        data.detections.scores[kept],
        data.detections.classes[kept],
        (matching.matched >= 0)[kept],
        class_counts(data),
    )


def mean_ap(aps: np.ndarray) -> float:
    """Mean over the classes with objects; NaN if there are none."""
    defined = aps[~np.isnan(aps)]
    return float(defined.mean()) if len(defined) else float("nan")
