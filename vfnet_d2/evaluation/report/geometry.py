"""Why AP is low: boxes in other units or of another format than COCO's x, y, width, height."""

from collections.abc import Callable

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData
from vfnet_d2.evaluation.report.diagnosis import Diagnosis, gained
from vfnet_d2.evaluation.report.matching import match

# Boxes as parts of the image size reach a little over 1 at most.
_LARGEST_PART = 1.5
_ROUNDS = 3


def normalised_boxes(data: EvaluationData) -> Diagnosis | None:
    """Boxes are parts of the image size instead of pixels."""
    detections = data.detections
    sizes = np.array([(i.width, i.height, i.width, i.height) for i in data.images], dtype=float)
    if not len(detections.boxes) or np.abs(detections.boxes).max() > _LARGEST_PART:
        return None
    if sizes.min(initial=0) < 0 or not sizes.all():
        return None
    boxes = detections.boxes * sizes[detections.image]
    gain = _with_boxes(data, boxes)
    if not gain:
        return None
    return Diagnosis(
        "boxes-normalised",
        f"the boxes of the detections are parts of the image size, not pixels: in pixels, {gain}",
        "multiply x and width with the width of the image, y and height with its height",
    )


def scaled_boxes(data: EvaluationData) -> Diagnosis | None:
    """Boxes are too large or too small by one factor in x and one in y."""
    factors = estimate_scale(data)
    if factors is None or np.allclose(factors, 1, atol=0.02):
        return None
    gain = _with_boxes(data, data.detections.boxes * np.tile(factors, 2))
    if not gain:
        return None
    x, y = factors
    factor = f"{x:.3g} in x and y" if abs(x - y) < 0.01 * x else f"{x:.3g} in x and {y:.3g} in y"
    return Diagnosis(
        "boxes-scaled",
        f"the boxes of the detections are off by a scale: multiplied with {factor}, {gain}",
        "give the detections in pixels of the image files, not of the resized or padded images "
        "that the network sees",
    )


def estimate_scale(data: EvaluationData) -> np.ndarray | None:
    """Factors (2,) in x and y by which detections must grow to fit the objects.

    First the ratio of medians, then the median ratio over the pairs that match; None if none does.
    """
    objects, detections = data.objects, data.detections
    best = np.argsort(-detections.scores, kind="stable")[: len(objects.boxes)]
    if not len(best):
        return None
    # Sizes mislead where false positives have other sizes, far corners where they lie elsewhere.
    candidates = []
    for measure in (_sizes, _far_corners):
        found = np.median(measure(detections.boxes[best]), axis=0)
        if (found > 0).all():
            candidates.append(np.median(measure(objects.boxes), axis=0) / found)
    refined = [_refine(data, factors) for factors in candidates]
    pairs, factors = max(refined, key=lambda item: item[0], default=(0, None))
    return factors if pairs else None


def _refine(data: EvaluationData, factors: np.ndarray) -> tuple[int, np.ndarray]:
    """Better factors from the boxes that match, and how many match with them."""
    pairs = 0
    for _ in range(_ROUNDS):
        boxes = data.detections.boxes * np.tile(factors, 2)
        scaled = data._replace(detections=data.detections._replace(boxes=boxes))
        matched = match(scaled, iou_thresh=0.3).matched
        hit = matched >= 0
        pairs = int(hit.sum())
        if not pairs:
            break
        target = _far_corners(data.objects.boxes[matched[hit]])
        factors = np.median(target / _far_corners(data.detections.boxes[hit]), axis=0)
    return pairs, factors


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2:]


def _far_corners(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + boxes[:, 2:]


def box_format(data: EvaluationData) -> Diagnosis | None:
    """Boxes are corners, or centre and size, or have x and y exchanged."""
    for code, (what, read) in _FORMATS.items():
        for side in ("detections", "ground truth"):
            if side == "detections":
                boxes = read(data.detections.boxes)
                changed = data._replace(detections=data.detections._replace(boxes=boxes))
            else:
                boxes = read(data.objects.boxes)
                changed = data._replace(objects=data.objects._replace(boxes=boxes))
            gain = gained(data, changed)
            if gain:
                return Diagnosis(
                    code,
                    f"the boxes of the {side} are {what}, not x, y, width, height: read that way, "
                    f"{gain}",
                    "write the boxes as x and y of the upper left corner, width and height",
                )
    return None


def _from_corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _from_centres(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def _exchange_axes(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, [1, 0, 3, 2]]


_FORMATS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "boxes-are-corners": ("corners x1, y1, x2, y2", _from_corners),
    "boxes-are-centres": ("centre x, centre y, width, height", _from_centres),
    "axes-exchanged": ("y, x, height, width", _exchange_axes),
    "boxes-are-corners-yx": (
        "corners y1, x1, y2, x2",
        lambda boxes: _from_corners(_exchange_axes(boxes)),
    ),
}


def _with_boxes(data: EvaluationData, boxes: np.ndarray) -> str:
    return gained(data, data._replace(detections=data.detections._replace(boxes=boxes)))


IF_SUSPICIOUS = (normalised_boxes, box_format, scaled_boxes)
