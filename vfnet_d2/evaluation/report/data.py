"""Ground truth and detections of a dataset, as arrays."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vfnet_d2.utils.errors import UserError


class ReportInputError(UserError):
    """Ground truth or detections cannot be used; the message says what is wrong and where."""


class ImageInfo(NamedTuple):
    """An image of the dataset: its id, file, and size in pixels (0 where unknown)."""

    image_id: int
    file_name: str
    width: int
    height: int


class Objects(NamedTuple):
    """The M objects of the ground truth.

    Attributes:
        image: (M,) number of the image, in the order of the ids.
        classes: (M,) number of the class, in the order of the category ids.
        boxes: (M, 4) x, y, width and height in pixels, as COCO has them.
        crowd: (M,) whether it is a crowd, which is neither demanded nor punished.
        area: (M,) in square pixels; for small, medium and large.
    """

    image: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    crowd: np.ndarray
    area: np.ndarray


class Detections(NamedTuple):
    """D detections: (D,) image and class as above, (D, 4) boxes as above, (D,) scores."""

    image: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


class EvaluationData(NamedTuple):
    """What a report is made of.

    Attributes:
        classes: K names.
        category_ids: K ids, ascending.
        images: sorted by their ids.
        objects: ground truth.
        detections: those of known images and classes.
        detected_images: count of detections by image id, as they came.
        detected_categories: count of detections by category id, as they came.
    """

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[ImageInfo, ...]
    objects: Objects
    detections: Detections
    detected_images: Mapping[Any, int]
    detected_categories: Mapping[Any, int]


def from_coco(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> EvaluationData:
    """Make arrays of COCO's dictionaries.

    Args:
        truth: COCO ground truth: "images", "categories", "annotations".
        detections: COCO results: "image_id", "category_id", "bbox", "score".

    Raises:
        ReportInputError: a part is missing or malformed; names it.
    """
    if not isinstance(truth, Mapping):
        raise ReportInputError("the ground truth is not a COCO dictionary of images, categories "
                               "and annotations")  # fmt: skip
    missing = [key for key in ("images", "categories", "annotations") if key not in truth]
    if missing:
        raise ReportInputError(f"the ground truth has no {' and no '.join(map(repr, missing))}; "
                               "a COCO JSON of detection is expected")  # fmt: skip
    if isinstance(detections, Mapping) or not isinstance(detections, Sequence):
        raise ReportInputError(
            "the detections are not a list of dictionaries with image_id, category_id, bbox and "
            "score, as COCO's results are"
        )
    categories = sorted(truth["categories"], key=lambda entry: entry["id"])
    images = sorted(map(_image_info, truth["images"]), key=lambda image: image.image_id)
    image_numbers = {image.image_id: number for number, image in enumerate(images)}
    class_numbers = {entry["id"]: number for number, entry in enumerate(categories)}
    for kind, numbers, entries in (
        ("image", image_numbers, images),
        ("category", class_numbers, categories),
    ):
        if len(numbers) != len(entries):
            raise ReportInputError(f"the ground truth has a {kind} id twice")
    return EvaluationData(
        classes=tuple(str(entry.get("name", entry["id"])) for entry in categories),
        category_ids=tuple(entry["id"] for entry in categories),
        images=tuple(images),
        objects=_objects(truth["annotations"], image_numbers, class_numbers),
        detections=_detections(detections, image_numbers, class_numbers),
        detected_images=Counter(entry["image_id"] for entry in detections),
        detected_categories=Counter(entry["category_id"] for entry in detections),
    )


def to_coco(data: EvaluationData) -> tuple[dict[str, Any], dict[str, Any]]:
    """COCO dictionaries of ground truth and detections, for evaluators.

    Annotations are numbered from 1: evaluators take a match with id 0 for none.
    """
    objects, detections = data.objects, data.detections
    shared = {
        "images": [
            {"id": i.image_id, "file_name": i.file_name, "width": i.width, "height": i.height}
            for i in data.images
        ],
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(data.category_ids, data.classes, strict=True)
        ],
    }
    truth = [
        {**entry, "iscrowd": int(crowd), "area": float(area)}
        for entry, crowd, area in zip(
            _entries(data, objects), objects.crowd, objects.area, strict=True
        )
    ]
    found = [
        {**entry, "iscrowd": 0, "score": float(score), "area": entry["bbox"][2] * entry["bbox"][3]}
        for entry, score in zip(_entries(data, detections), detections.scores, strict=True)
    ]
    return {**shared, "annotations": truth}, {**shared, "annotations": found}


def of_images(numbers: np.ndarray, count: int) -> list[np.ndarray]:
    """For each of ``count`` images the positions in ``numbers`` (M,) that name it, in order."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.searchsorted(numbers[order], np.arange(1, count)))


def class_counts(data: EvaluationData) -> np.ndarray:
    """Objects (K,) of each class, crowds aside."""
    return np.bincount(data.objects.classes[~data.objects.crowd], minlength=len(data.classes))


def corners(boxes: np.ndarray) -> np.ndarray:
    """Boxes (M, 4) as x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _image_info(entry: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        entry["id"],
        str(entry.get("file_name", "")),
        int(entry.get("width") or 0),
        int(entry.get("height") or 0),
    )


def _entries(data: EvaluationData, items: Objects | Detections) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "image_id": data.images[image].image_id,
            "category_id": data.category_ids[label],
            "bbox": box,
        }
        for number, (image, label, box) in enumerate(
            zip(items.image, items.classes, items.boxes.tolist(), strict=True), start=1
        )
    ]


def _objects(
    annotations: Sequence[Mapping[str, Any]],
    images: Mapping[Any, int],
    classes: Mapping[Any, int],
) -> Objects:
    for entry in annotations:
        _check(entry, ("image_id", "category_id", "bbox"), f"annotation {entry.get('id')}")
        for key, known in (("image_id", images), ("category_id", classes)):
            if entry[key] not in known:
                raise ReportInputError(
                    f"ground truth, annotation {entry.get('id')}: {key} {entry[key]!r} is not in "
                    "the file"
                )
    boxes = np.array([entry["bbox"] for entry in annotations], dtype=np.float64).reshape(-1, 4)
    areas = [entry.get("area", box[2] * box[3]) for entry, box in zip(annotations, boxes)]  # noqa: B905
    return Objects(
        image=np.array([images[entry["image_id"]] for entry in annotations], dtype=np.int64),
        classes=np.array([classes[entry["category_id"]] for entry in annotations], dtype=np.int64),
        boxes=boxes,
        crowd=np.array([bool(entry.get("iscrowd", 0)) for entry in annotations], dtype=bool),
        area=np.array(areas, dtype=np.float64),
    )


def _detections(
    entries: Sequence[Mapping[str, Any]], images: Mapping[Any, int], classes: Mapping[Any, int]
) -> Detections:
    for number, entry in enumerate(entries):
        _check(entry, ("image_id", "category_id", "bbox", "score"), f"detection number {number}")
        if not math.isfinite(entry["score"]):
            raise ReportInputError(
                f"detection number {number}: score {entry['score']} is no number"
            )
    known = [x for x in entries if x["image_id"] in images and x["category_id"] in classes]
    return Detections(
        image=np.array([images[entry["image_id"]] for entry in known], dtype=np.int64),
        classes=np.array([classes[entry["category_id"]] for entry in known], dtype=np.int64),
        boxes=np.array([entry["bbox"] for entry in known], dtype=np.float64).reshape(-1, 4),
        scores=np.array([entry["score"] for entry in known], dtype=np.float64),
    )


def _check(entry: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """Raise ReportInputError unless an entry has the keys and its box four finite numbers."""
    missing = [key for key in keys if key not in entry]
    if missing:
        raise ReportInputError(f"{where} has no {', '.join(missing)}: {dict(entry)}")
    box = entry["bbox"]
    if len(box) != 4 or not all(math.isfinite(value) for value in box):
        raise ReportInputError(f"{where}: the box {box} is not four finite numbers")
