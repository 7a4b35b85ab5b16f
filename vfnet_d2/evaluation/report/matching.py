"""Which detection found which object, as COCO's evaluation decides it at one IoU threshold."""

from typing import NamedTuple

import numpy as np
from pycocotools import mask

from vfnet_d2.evaluation.report.data import EvaluationData, of_images

# COCO counts the best 100 detections of each image and class.
MAX_DETECTIONS = 100


class Matching(NamedTuple):
    """Result of :func:`match` for D detections and M objects.

    Attributes:
        matched: (D,) number of the object found, or -1.
        ignored: (D,) neither right nor wrong: in a crowd, or after the best 100.
        found_by: (M,) number of the detection, or -1.
    """

    matched: np.ndarray
    ignored: np.ndarray
    found_by: np.ndarray

    @property
    def false_positive(self) -> np.ndarray:
        """(D,) whether a detection is wrong."""
        return (self.matched < 0) & ~self.ignored


def match(data: EvaluationData, *, iou_thresh: float = 0.5) -> Matching:
    """Match detections with objects of their class.

    From the highest score down, a detection takes the object that it overlaps most, among those
    that are free and have at least ``iou_thresh`` IoU with it. One that finds none is ignored if
    that part of it lies in a crowd.
    """
    objects, detections = data.objects, data.detections
    matched = np.full(len(detections.scores), -1)
    ignored = np.zeros(len(detections.scores), dtype=bool)
    found_by = np.full(len(objects.classes), -1)
    for seen, there in zip(
        of_images(detections.image, len(data.images)),
        of_images(objects.image, len(data.images)),
        strict=True,
    ):
        for label in np.unique(detections.classes[seen]):
            own = seen[detections.classes[seen] == label]
            own = own[np.argsort(-detections.scores[own], kind="stable")]
            ignored[own[MAX_DETECTIONS:]] = True
            own = own[:MAX_DETECTIONS]
            wanted = there[objects.classes[there] == label]
            # Crowds last: an object is taken before a crowd is.
            wanted = wanted[np.argsort(objects.crowd[wanted], kind="stable")]
            overlaps = box_ious(detections.boxes[own], objects.boxes[wanted], objects.crowd[wanted])
            for detection, row in zip(own, overlaps, strict=True):
                choice = _choose(row, found_by[wanted] >= 0, objects.crowd[wanted], iou_thresh)
                if choice is None:
                    continue
                if objects.crowd[wanted[choice]]:
                    ignored[detection] = True
                else:
                    matched[detection] = wanted[choice]
                    found_by[wanted[choice]] = detection
    return Matching(matched, ignored, found_by)


def box_ious(detections: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU (D, M) of boxes as COCO computes it; with a crowd, the share of the detection in it."""
    if not len(detections) or not len(objects):
        return np.zeros((len(detections), len(objects)))
    ious: np.ndarray = mask.iou(detections, objects, crowd.astype(np.uint8))
    return ious


def _choose(row: np.ndarray, taken: np.ndarray, crowd: np.ndarray, thresh: float) -> int | None:
    """The object or else the crowd that a detection takes, given its IoUs (M,)."""
    for kind in (~crowd & ~taken, crowd):
        candidates = np.flatnonzero(kind & (row >= min(thresh, 1 - 1e-10)))
        if len(candidates):
            # The last of equal ones, as COCO does.
            best = np.flatnonzero(row[candidates] == row[candidates].max())[-1]
            return int(candidates[best])
    return None
