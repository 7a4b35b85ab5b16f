"""What kinds of errors a detector makes, and the AP that each kind costs.

Kinds and costs are those of TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object
Detection Errors", ECCV 2020, section 2), at a foreground IoU of 0.5 and a background IoU of 0.1.
The cost, dAP, is by how much AP50 rises when errors of this kind alone are put right. Costs do not
add up to what is missing from 100: putting one error right can uncover another.

The paper does not say what a false positive is that fits several kinds; here the first of
``KINDS`` that fits.
"""

from typing import Any, NamedTuple

import numpy as np

from vfnet_d2.evaluation.report.average_precision import class_aps, mean_ap
from vfnet_d2.evaluation.report.data import (
    Detections,
    EvaluationData,
    class_counts,
    of_images,
)
from vfnet_d2.evaluation.report.matching import Matching, box_ious, match

FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1

DUPLICATE = "duplicate"
CLASSIFICATION = "classification"
LOCALISATION = "localisation"
BOTH = "both"
BACKGROUND = "background"
MISSED = "missed"

# Of false positives, in the order of decision: what it means, and what puts it right.
KINDS = {
    DUPLICATE: (
        "IoU of 0.5 or more with an object of its class that another detection found",
        "the detection is removed",
    ),
    CLASSIFICATION: (
        "IoU of 0.5 or more with an object of another class",
        "it gets the class of the object, or is removed if the object was found",
    ),
    LOCALISATION: (
        "IoU from 0.1 to 0.5 with an object of its class",
        "it gets the box of the object, or is removed if the object was found",
    ),
    BOTH: (
        "IoU from 0.1 to 0.5 with an object of another class only",
        "the detection is removed",
    ),
    BACKGROUND: ("IoU below 0.1 with every object", "the detection is removed"),
}
_MISSED_MEANING = (
    "an object that no detection found, not even with the wrong class or a poor box",
    "the object is not asked for",
)


class Errors(NamedTuple):
    """Kinds of the errors.

    Attributes:
        kind: (D,) one of KINDS for a false positive, else "".
        target: (D,) for a classification or localisation error the object meant, else -1.
        missed: (M,) whether an object counts as missed.
    """

    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray


def find_errors(data: EvaluationData, matching: Matching) -> Errors:
    """Say of each false positive and each object that was not found what went wrong.

    Args:
        data: of the report.
        matching: at IoU 0.5.
    """
    objects, detections = data.objects, data.detections
    kind = np.full(len(detections.scores), "", dtype=object)
    target = np.full(len(detections.scores), -1)
    wrong = matching.false_positive
    for seen, there in zip(
        of_images(detections.image, len(data.images)),
        of_images(objects.image, len(data.images)),
        strict=True,
    ):
        seen, there = seen[wrong[seen]], there[~objects.crowd[there]]
        overlaps = box_ious(
            detections.boxes[seen], objects.boxes[there], np.zeros(len(there), dtype=bool)
        )
        for detection, row in zip(seen, overlaps, strict=True):
            same = objects.classes[there] == detections.classes[detection]
            kind[detection], choice = _kind(row, same)
            if choice is not None:
                target[detection] = there[choice]
    missed = (matching.found_by < 0) & ~objects.crowd
    missed[target[target >= 0]] = False
    return Errors(kind, target, missed)


def _kind(row: np.ndarray, same: np.ndarray) -> tuple[str, int | None]:
    """Kind of a false positive, and the object it meant, from its IoUs (M,) with all objects."""
    own, other = np.where(same, row, 0.0), np.where(same, 0.0, row)
    best_own, best_other = own.max(initial=0), other.max(initial=0)
    if best_own >= FOREGROUND_IOU:
        return DUPLICATE, None
    if best_other >= FOREGROUND_IOU:
        return CLASSIFICATION, int(other.argmax())
    if best_own >= BACKGROUND_IOU:
        return LOCALISATION, int(own.argmax())
    return (BOTH if best_other >= BACKGROUND_IOU else BACKGROUND), None


def count_errors(errors: Errors) -> dict[str, int]:
    """How many errors there are of each kind."""
    counts = {name: int((errors.kind == name).sum()) for name in KINDS}
    return {**counts, MISSED: int(errors.missed.sum())}


def error_report(
    data: EvaluationData, matching: Matching, errors: Errors, *, score_thresh: float
) -> dict[str, Any]:
    """Counts and costs of all kinds.

    Args:
        data: of the report.
        matching: at IoU 0.5.
        errors: of :func:`find_errors`.
        score_thresh: for the second of two counts.

    Returns:
        "AP50" and "kinds": a list of "name", "meaning", "remedy", "count", "count_above" (if only
        detections of at least ``score_thresh`` are looked at) and "dAP". AP and costs are in
        percent, None if there is no object.
    """
    before = _ap_after(data, matching, errors, "")
    meanings = {**KINDS, MISSED: _MISSED_MEANING}
    counts = count_errors(errors)
    shown = data.detections.scores >= score_thresh
    fewer = data._replace(detections=Detections(*(part[shown] for part in data.detections)))
    above = count_errors(find_errors(fewer, match(fewer)))
    return {
        "AP50": _defined(before),
        "foreground_iou": FOREGROUND_IOU,
        "background_iou": BACKGROUND_IOU,
        "kinds": [
            {
                "name": name,
                "meaning": meaning,
                "remedy": remedy,
                "count": counts[name],
                "count_above": above[name],
                "dAP": _defined(_ap_after(data, matching, errors, name) - before),
            }
            for name, (meaning, remedy) in meanings.items()
        ],
    }


def _ap_after(data: EvaluationData, matching: Matching, errors: Errors, name: str) -> float:
    """AP50 in percent when the errors of one kind are put right."""
    objects, detections = data.objects, data.detections
    classes, counts = detections.classes.copy(), class_counts(data)
    right, kept = matching.matched >= 0, ~matching.ignored
    if name == MISSED:
        fewer = counts - np.bincount(objects.classes[errors.missed], minlength=len(counts))
        # A class that was missed as a whole stays, with AP 0.
        counts = np.where(counts > 0, np.maximum(fewer, 1), 0)
    elif name:
        fixed = errors.kind == name
        kept = kept & ~fixed
        taken = set(np.flatnonzero(matching.found_by >= 0))
        for index in np.flatnonzero(fixed)[np.argsort(-detections.scores[fixed], kind="stable")]:
            target = errors.target[index]
            if target < 0 or target in taken:
                continue
            taken.add(target)
            classes[index] = objects.classes[target]
            right[index] = kept[index] = True
    return 100 * mean_ap(class_aps(detections.scores[kept], classes[kept], right[kept], counts))


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
