"""The confusion matrix of a detector, with a row and a column for the background."""

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData, of_images
from vfnet_d2.evaluation.report.matching import Matching, box_ious

CONFUSION_IOU = 0.5


def confusion_matrix(
    data: EvaluationData, matching: Matching, *, score_thresh: float
) -> np.ndarray:
    """Count which objects (rows) were taken for what (columns).

    Detections that found an object of their class stand on the diagonal. Of the others, from the
    highest score down, each takes the free object of any class that it overlaps most, if that is
    an IoU of 0.5 or more; else it was background. Objects left over were taken for background.

    Args:
        data: of the report.
        matching: at IoU 0.5.
        score_thresh: detections that score less do not count.

    Returns:
        (K + 1, K + 1) counts; the last row and column are the background.
    """
    objects, detections = data.objects, data.detections
    background = len(data.classes)
    matrix = np.zeros((background + 1, background + 1), dtype=np.int64)
    counted = (detections.scores >= score_thresh) & ~matching.ignored
    hit = counted & (matching.matched >= 0)
    free = ~objects.crowd
    free[matching.matched[hit]] = False
    np.add.at(matrix, (detections.classes[hit], detections.classes[hit]), 1)
    for seen, there in zip(
        of_images(detections.image, len(data.images)),
        of_images(objects.image, len(data.images)),
        strict=True,
    ):
        wrong = seen[counted[seen] & ~hit[seen]]
        wrong = wrong[np.argsort(-detections.scores[wrong], kind="stable")]
        overlaps = box_ious(
            detections.boxes[wrong], objects.boxes[there], np.zeros(len(there), dtype=bool)
        )
        for detection, row in zip(wrong, overlaps, strict=True):
            row = np.where(free[there], row, 0)
            truth = background
            if row.size and row.max() >= CONFUSION_IOU:
                taken = there[row.argmax()]
                free[taken] = False
                truth = objects.classes[taken]
            matrix[truth, detections.classes[detection]] += 1
    np.add.at(matrix, (objects.classes[free], background), 1)
    return matrix
