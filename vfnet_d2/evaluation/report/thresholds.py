"""F1 over score thresholds, and the threshold where it is highest."""

from typing import Any, NamedTuple

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData, class_counts
from vfnet_d2.evaluation.report.matching import Matching

_CURVE_POINTS = 201


class Curve(NamedTuple):
    """Precision, recall and F1 when only detections of at least a score count.

    All of shape (T,); ``scores`` are the T different ones, falling.
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def f1_curve(scores: np.ndarray, right: np.ndarray, objects: int) -> Curve:
    """The curve of D detections.

    ``F1 = 2 * right / (detections + objects)``, the harmonic mean of precision and recall. A
    detection that is right stays so when others of lower scores are dropped, so that one matching
    serves all thresholds.

    Args:
        scores: (D,).
        right: (D,) bool.
        objects: how many there are to find.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # A threshold cannot part equal scores.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    hits = np.cumsum(right[order])[last]
    count = last + 1
    return Curve(
        ranked[last],
        hits / count,
        hits / objects if objects else np.zeros(len(last)),
        2 * hits / (count + objects),
    )


def best_threshold(curve: Curve) -> dict[str, float] | None:
    """The score threshold of the highest F1, with the figures there; the higher one of equals.

    None if nothing is right at any threshold.
    """
    if not len(curve.f1) or curve.f1.max() == 0:
        return None
    best = int(curve.f1.argmax())
    return {
        "threshold": float(curve.scores[best]),
        "f1": float(curve.f1[best]),
        "precision": float(curve.precision[best]),
        "recall": float(curve.recall[best]),
    }


def threshold_report(data: EvaluationData, matching: Matching) -> dict[str, Any]:
    """The best thresholds over all detections and per class, and the curve over all.

    Returns:
        "overall" and "classes" (K of them) as :func:`best_threshold`; "curve", lists of at most
        201 points spread over the scores.
    """
    kept = ~matching.ignored
    scores, labels = data.detections.scores[kept], data.detections.classes[kept]
    right, counts = (matching.matched >= 0)[kept], class_counts(data)
    overall = f1_curve(scores, right, int(counts.sum()))
    points = _spread(overall.scores)
    return {
        "overall": best_threshold(overall),
        "classes": [
            best_threshold(f1_curve(scores[labels == k], right[labels == k], int(count)))
            for k, count in enumerate(counts)
        ],
        "curve": {key: value[points].tolist() for key, value in overall._asdict().items()},
    }


def _spread(scores: np.ndarray) -> np.ndarray:
    """Positions of falling scores (T,), about evenly spaced in score, the ends included."""
    if not len(scores):
        return np.zeros(0, dtype=int)
    even = np.linspace(scores[0], scores[-1], _CURVE_POINTS)
    return np.unique(np.searchsorted(-scores, -even).clip(max=len(scores) - 1))
