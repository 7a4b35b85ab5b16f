"""The mistakes worth looking at: confident false positives and large objects that were missed."""

from typing import Any

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData, of_images
from vfnet_d2.evaluation.report.errors import Errors
from vfnet_d2.evaluation.report.matching import Matching, box_ious


def worst_false_positives(
    data: EvaluationData, matching: Matching, errors: Errors, *, count: int
) -> list[dict[str, Any]]:
    """False positives of the highest scores.

    Returns:
        per detection "image_id", "file_name", "class", "score", "box" (x, y, width, height in
        pixels), "kind" of the error, and "nearest": the object it overlaps most, with "class",
        "box" and "iou", or None.
    """
    detections = data.detections
    wrong = np.flatnonzero(matching.false_positive)
    chosen = wrong[np.argsort(-detections.scores[wrong], kind="stable")][:count]
    by_image = of_images(data.objects.image, len(data.images))
    return [
        {
            **_describe(data, detections, index),
            "score": float(detections.scores[index]),
            "kind": str(errors.kind[index]),
            "nearest": _nearest(data, index, by_image[detections.image[index]]),
        }
        for index in chosen
    ]


def largest_misses(
    data: EvaluationData, matching: Matching, *, count: int, score_thresh: float
) -> list[dict[str, Any]]:
    """Objects that no detection of at least ``score_thresh`` found, the largest first.

    Returns:
        per object "image_id", "file_name", "class", "box", "area" in square pixels, and
        "found_below": the score of the detection that found it under the threshold, or None.
    """
    objects, found_by = data.objects, matching.found_by
    scores = np.full(len(found_by), -np.inf)
    scores[found_by >= 0] = data.detections.scores[found_by[found_by >= 0]]
    missed = np.flatnonzero((scores < score_thresh) & ~objects.crowd)
    sizes = objects.boxes[missed, 2] * objects.boxes[missed, 3]
    return [
        {
            **_describe(data, objects, index),
            "area": float(objects.boxes[index, 2] * objects.boxes[index, 3]),
            "found_below": float(scores[index]) if np.isfinite(scores[index]) else None,
        }
        for index in missed[np.argsort(-sizes, kind="stable")][:count]
    ]


def _describe(data: EvaluationData, items: Any, index: int) -> dict[str, Any]:
    image = data.images[items.image[index]]
    return {
        "image_id": image.image_id,
        "file_name": image.file_name,
        "class": data.classes[items.classes[index]],
        "box": items.boxes[index].tolist(),
    }


def _nearest(data: EvaluationData, index: int, there: np.ndarray) -> dict[str, Any] | None:
    """The object of the image that a detection overlaps most, if any."""
    objects = data.objects
    there = there[~objects.crowd[there]]
    if not len(there):
        return None
    box = data.detections.boxes[index : index + 1]
    overlaps = box_ious(box, objects.boxes[there], np.zeros(len(there), dtype=bool))[0]
    if overlaps.max() == 0:
        return None
    best = there[overlaps.argmax()]
    return {
        "class": data.classes[objects.classes[best]],
        "box": objects.boxes[best].tolist(),
        "iou": float(overlaps.max()),
    }
