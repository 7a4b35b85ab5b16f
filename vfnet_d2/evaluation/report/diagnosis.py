"""Why AP is low: causes that lie in the files, not in the detector."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vfnet_d2.evaluation.report.average_precision import class_ap50, mean_ap
from vfnet_d2.evaluation.report.data import EvaluationData, class_counts, of_images
from vfnet_d2.evaluation.report.matching import box_ious

# Detectors under this AP50, or with such a class, are examined for mistakes in the files.
SUSPICIOUS_AP50 = 0.3
# A cause is named if its remedy raises AP50 by this much: chance does not.
MIN_GAIN = 0.2
_SHOWN = 5


class Diagnosis(NamedTuple):
    """A cause that was found.

    Attributes:
        code: for programs.
        cause: what is wrong, with the figures that show it.
        remedy: what to do.
    """

    code: str
    cause: str
    remedy: str


def no_detections(
    data: EvaluationData, *, hidden: tuple[float, float] | None = None
) -> Diagnosis | None:
    """There is not one detection.

    Args:
        data: of the report.
        hidden: score threshold of the detector, and the highest score it gives without one; None
            if nobody knows.
    """
    if data.detected_images:
        return None
    cause = (
        "the detector found nothing, or all scores were under the threshold it was run with"
        if hidden is None
        else f"all scores are under the detector's threshold of {hidden[0]:g}; the highest on a "
        f"few images is {hidden[1]:.3g}"
    )
    return Diagnosis(
        "no-detections",
        f"there is not one detection: {cause}",
        "lower the test score threshold (MODEL.ONE_STAGE.SCORE_THRESH or model.score_thresh) and "
        "see which scores come out; if they stay near 0.01, the detector is not trained or its "
        "weights were not loaded",
    )


def no_ground_truth(data: EvaluationData) -> Diagnosis | None:
    """Some or all classes have no object, so that their AP is not defined (COCO's -1)."""
    empty = np.flatnonzero(class_counts(data) == 0)
    if not len(empty):
        return None
    if len(empty) == len(data.classes):
        return Diagnosis(
            "no-ground-truth",
            f"the ground truth has no objects in its {len(data.images)} images (crowds do not "
            "count), so AP is not defined (COCO writes -1)",
            "check that this is the annotation file of the validation set",
        )
    names = listed([data.classes[k] for k in empty])
    return Diagnosis(
        "class-without-ground-truth",
        f"{len(empty)} of {len(data.classes)} classes have no object in the ground truth, so "
        f"their AP is not defined and does not count in the mean: {names}",
        "nothing, if these classes do not occur; else check the class names of the annotations",
    )


def image_ids(data: EvaluationData) -> Diagnosis | None:
    """Detections belong to images that the ground truth does not have."""
    known = {image.image_id for image in data.images}
    strange = [key for key in data.detected_images if key not in known]
    if not strange:
        return None
    total = sum(data.detected_images.values())
    lost = sum(data.detected_images[key] for key in strange)
    return Diagnosis(
        "image-ids",
        f"{lost} of {total} detections have an image_id that is not in the ground truth, such as "
        f"{listed([repr(key) for key in strange])}; the ground truth has "
        f"{listed([repr(image.image_id) for image in data.images])}",
        _image_id_advice(data, strange),
    )


def _image_id_advice(data: EvaluationData, strange: list[object]) -> str:
    """What the strange ids look like."""
    ids = {str(image.image_id): image.image_id for image in data.images}
    stems = {image.file_name.rpartition("/")[2].rpartition(".")[0] for image in data.images}
    names = {image.file_name.rpartition("/")[2] for image in data.images}
    if all(str(key) in ids for key in strange):
        kind = type(next(iter(ids.values()))).__name__
        return f"the ids are right but of another type: write them as {kind}"
    if all(str(key) in stems | names for key in strange):
        return 'they are names of the image files: look up the id of each in "images"'
    return 'use the ids of "images" in the ground truth; check that both files are of one set'


def shifted_image_ids(data: EvaluationData) -> Diagnosis | None:
    """Detections belong to the image before or after the one they name."""
    if len(data.images) < 2:
        return None
    for step, word in ((1, "after"), (-1, "before")):
        image = data.detections.image + step
        inside = (image >= 0) & (image < len(data.images))
        moved = data.detections._replace(image=image)
        changed = data._replace(detections=type(moved)(*(part[inside] for part in moved)))
        gain = gained(data, changed)
        if gain:
            return Diagnosis(
                "image-ids-shifted",
                f"the detections fit the image {word} the one they name: {gain}",
                "look up the id of each image instead of counting from 0 or 1",
            )
    return None


def category_ids(data: EvaluationData) -> Diagnosis | None:
    """Detections have category ids that the ground truth does not have."""
    strange = [key for key in data.detected_categories if key not in data.category_ids]
    if not strange:
        return None
    total = sum(data.detected_categories.values())
    lost = sum(data.detected_categories[key] for key in strange)
    from_zero = 0 in strange and 0 not in data.category_ids
    return Diagnosis(
        "category-ids",
        f"{lost} of {total} detections have a category_id that is not in the ground truth: "
        f"{listed([repr(key) for key in strange])}; it has "
        f"{listed([repr(key) for key in data.category_ids])}",
        'write the ids of "categories", not the class numbers of the model'
        + (", which count from 0" if from_zero else ""),
    )


def score_range(data: EvaluationData) -> Diagnosis | None:
    """Scores are no probabilities."""
    scores = data.detections.scores
    if not len(scores) or (scores.min() >= 0 and scores.max() <= 1):
        return None
    return Diagnosis(
        "score-range",
        f"scores go from {scores.min():g} to {scores.max():g}; from 0 to 1 is expected. AP needs "
        "their order only, but thresholds and calibration mean nothing",
        "write scores after the sigmoid, as parts of 1",
    )


def scores_below(data: EvaluationData, *, score_thresh: float) -> Diagnosis | None:
    """All detections score less than the threshold that was asked for."""
    scores = data.detections.scores
    if not len(scores) or scores.max() >= score_thresh:
        return None
    return Diagnosis(
        "scores-below-threshold",
        f"all {len(scores)} detections score less than the threshold {score_thresh:g}; the highest "
        f"score is {scores.max():.3g}",
        "choose a lower score threshold; the one of the highest F1 is in this report",
    )


def class_order(data: EvaluationData) -> Diagnosis | None:
    """Another order of the classes gives a much higher AP."""
    counts = overlap_counts(data)
    # The order that lets most detections lie on objects of their class; ties keep the class.
    gains = counts + 1e-6 * np.eye(len(counts))
    _, order = linear_sum_assignment(-gains)
    renamed = data.detections._replace(classes=order[data.detections.classes])
    moved = np.flatnonzero((order != np.arange(len(order))) & (counts.sum(axis=1) > 0))
    gain = gained(data, data._replace(detections=renamed), classes=order[moved])
    if not len(moved) or not gain:
        return None
    half = (len(order) - 1) // 2
    steps = {int((order[k] - k + half) % len(order)) - half for k in moved}
    whole = len(moved) == len(order) and len(steps) == 1
    shift = f" (all shifted by {steps.pop()})" if whole else ""
    pairs = [f"{data.classes[k]!r} means {data.classes[order[k]]!r}" for k in moved]
    return Diagnosis(
        "class-order",
        f"the classes of the detections are in another order than those of the ground truth"
        f"{shift}: {listed(pairs, shown=10)}. With that order, {gain}",
        "use the class list of the training set, in its order, for the detections' category ids",
    )


def overlap_counts(data: EvaluationData) -> np.ndarray:
    """How often detections of class i lie on objects of class j, weighted by score: (K, K)."""
    objects, detections = data.objects, data.detections
    counts = np.zeros((len(data.classes), len(data.classes)))
    for seen, there in zip(
        of_images(detections.image, len(data.images)),
        of_images(objects.image, len(data.images)),
        strict=True,
    ):
        there = there[~objects.crowd[there]]
        ious = box_ious(
            detections.boxes[seen], objects.boxes[there], np.zeros(len(there), dtype=bool)
        )
        if not ious.size:
            continue
        on = ious.max(axis=1) >= 0.5
        nearest = objects.classes[there[ious.argmax(axis=1)]]
        np.add.at(counts, (detections.classes[seen[on]], nearest[on]), detections.scores[seen[on]])
    return counts


def gained(
    data: EvaluationData, changed: EvaluationData, *, classes: np.ndarray | None = None
) -> str:
    """Say by how much a change raises AP50, or return "" if it does not by much.

    Args:
        data: as it is.
        changed: with the remedy.
        classes: numbers of the classes that count; None counts all.
    """
    chosen = slice(None) if classes is None else classes
    before, after = (mean_ap(class_ap50(part)[chosen]) for part in (data, changed))
    if not after - before >= MIN_GAIN:
        return ""
    of = "" if classes is None or len(classes) == len(data.classes) else " of these classes"
    return f"AP50{of} would be {100 * after:.1f} instead of {100 * before:.1f}"


def listed(names: list[str], *, shown: int = _SHOWN) -> str:
    """The first names, and how many there are more."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


# What needs no second evaluation.
ALWAYS: tuple[Callable[[EvaluationData], Diagnosis | None], ...] = (
    no_ground_truth,
    image_ids,
    category_ids,
    score_range,
)
