"""The report on a detector's results, as JSON types."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from vfnet_d2.evaluation.ranking import best_ious, describe_ranking
from vfnet_d2.evaluation.report import coco_metrics
from vfnet_d2.evaluation.report.average_precision import class_ap50
from vfnet_d2.evaluation.report.confusion import CONFUSION_IOU, confusion_matrix
from vfnet_d2.evaluation.report.data import EvaluationData, class_counts, corners, of_images
from vfnet_d2.evaluation.report.errors import Errors, error_report, find_errors
from vfnet_d2.evaluation.report.matching import Matching, match
from vfnet_d2.evaluation.report.mistakes import largest_misses, worst_false_positives
from vfnet_d2.evaluation.report.reasons import class_reason, diagnose
from vfnet_d2.evaluation.report.thresholds import threshold_report

BACKGROUND_LABEL = "background"
# IoU thresholds of the precision-recall curves, by number: 0.5, 0.75 and 0.9.
_CURVES = (0, 5, 8)
# Used where no threshold gives a single right detection.
_FALLBACK_THRESHOLD = 0.5


def make_report(
    data: EvaluationData,
    *,
    about: Mapping[str, Any],
    score_thresh: float | None = None,
    evaluator: str = coco_metrics.AUTO,
    gallery: int = 12,
    hidden: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Analyse detections.

    Args:
        data: ground truth and detections.
        about: of what model and dataset this is; "model" and "dataset" head the page, and
            "weights" where it is given.
        score_thresh: for confusion matrix and misses; None takes that of the highest F1.
        evaluator: see :func:`~vfnet_d2.evaluation.report.coco_metrics.choose_evaluator`.
        gallery: how many false positives and how many misses are listed.
        hidden: see :func:`~vfnet_d2.evaluation.report.diagnosis.no_detections`.

    Returns:
        ``about``'s entries and a part for each section of the page. APs and dAPs are in percent,
        everything else in parts of 1; a figure that is not defined is None.
    """
    coco = coco_metrics.evaluate_coco(data, evaluator=evaluator)
    matching = match(data)
    errors = find_errors(data, matching)
    aps = class_ap50(data, matching)
    thresholds = threshold_report(data, matching)
    threshold = _threshold(thresholds["overall"], score_thresh)
    value = threshold["value"]
    matrix = confusion_matrix(data, matching, score_thresh=value)
    found = diagnose(data, aps=aps, score_thresh=score_thresh, hidden=hidden)
    return {
        **about,
        "evaluator": coco.evaluator,
        "counts": _counts(data),
        "metrics": coco_metrics.summary(coco),
        "diagnoses": [entry._asdict() for entry in found],
        "score_threshold": threshold,
        "classes": _classes(data, coco, errors, aps, thresholds.pop("classes")),
        "thresholds": thresholds,
        "precision_recall": [coco_metrics.precision_recall(coco, number) for number in _CURVES],
        "confusion": {
            "iou": CONFUSION_IOU,
            "labels": [*data.classes, BACKGROUND_LABEL],
            "matrix": matrix.tolist(),
        },
        "errors": error_report(data, matching, errors, score_thresh=value),
        "ranking": ranking_report(data),
        **_mistakes(data, matching, errors, count=gallery, score_thresh=value),
    }


def ranking_report(data: EvaluationData) -> dict[str, Any]:
    """How well scores rank the detections by IoU; see :mod:`vfnet_d2.evaluation.ranking`."""
    scores, ious = [np.zeros(0)], [np.zeros(0)]
    for number, (seen, there) in enumerate(
        zip(
            of_images(data.detections.image, len(data.images)),
            of_images(data.objects.image, len(data.images)),
            strict=True,
        )
    ):
        if len(seen):
            image = data.images[number]
            own = best_ious(_instances(data, seen, image[2:]), _annotations(data, there))
            scores.append(own[0])
            ious.append(own[1])
    # Scores that are no probabilities have no bins; a diagnosis says so.
    return describe_ranking(np.concatenate(scores).clip(0, 1), np.concatenate(ious))


def _instances(data: EvaluationData, seen: np.ndarray, size: tuple[int, int]) -> Instances:
    detections = data.detections
    instances = Instances(size[::-1])
    boxes = corners(detections.boxes[seen])
    instances.pred_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32))
    instances.scores = torch.as_tensor(detections.scores[seen])
    instances.pred_classes = torch.as_tensor(detections.classes[seen])
    return instances


def _annotations(data: EvaluationData, there: np.ndarray) -> list[dict[str, Any]]:
    objects = data.objects
    return [
        {
            "bbox": objects.boxes[index].tolist(),
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": int(objects.classes[index]),
            "iscrowd": int(objects.crowd[index]),
        }
        for index in there
    ]


def _threshold(best: Mapping[str, float] | None, wanted: float | None) -> dict[str, Any]:
    if wanted is not None:
        return {"value": wanted, "origin": "given"}
    if best is None:
        return {"value": _FALLBACK_THRESHOLD, "origin": "no detection is right at any threshold"}
    return {"value": best["threshold"], "origin": "highest F1"}


def _counts(data: EvaluationData) -> dict[str, int]:
    return {
        "images": len(data.images),
        "images_without_objects": len(data.images) - len(np.unique(data.objects.image)),
        "objects": int((~data.objects.crowd).sum()),
        "crowds": int(data.objects.crowd.sum()),
        "detections": len(data.detections.scores),
    }


def _classes(
    data: EvaluationData,
    coco: coco_metrics.CocoResult,
    errors: Errors,
    aps: np.ndarray,
    thresholds: list[dict[str, float] | None],
) -> list[dict[str, Any]]:
    found = np.bincount(data.detections.classes, minlength=len(data.classes))
    return [
        {
            "name": name,
            "category_id": data.category_ids[number],
            "objects": int(class_counts(data)[number]),
            "detections": int(found[number]),
            **coco_metrics.class_metrics(coco, number),
            "best_threshold": thresholds[number],
            "reason": class_reason(data, errors, number, float(aps[number])),
        }
        for number, name in enumerate(data.classes)
    ]


def _mistakes(
    data: EvaluationData, matching: Matching, errors: Errors, *, count: int, score_thresh: float
) -> dict[str, Any]:
    return {
        "false_positives": worst_false_positives(data, matching, errors, count=count),
        "misses": largest_misses(data, matching, count=count, score_thresh=score_thresh),
    }
