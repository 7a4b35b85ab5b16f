"""Detections in files as COCO results: also those of ``vfnet predict``, and numbers as text."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vfnet_d2.data.formats.coco_values import normalise
from vfnet_d2.data.formats.files import fold, listed
from vfnet_d2.data.formats.values import Notes, as_id, as_name, as_number
from vfnet_d2.evaluation.report.data import ReportInputError

logger = logging.getLogger(__name__)


def readable_truth(truth: Any, file: Path) -> Any:
    """Return a COCO ground truth whose values are read as the readers of datasets read them.

    Args:
        truth: content of the file, changed in place; anything else than COCO is returned as it is.
        file: for messages.
    """
    lists = ("images", "annotations", "categories")
    if isinstance(truth, dict) and all(isinstance(truth.get(key), list) for key in lists):
        notes = Notes()
        normalise(truth, file, notes)
        for finding in notes.findings():
            logger.warning("%s", finding)
    return truth


def results_of(content: Any, truth: Any, file: Path) -> Any:
    """Return a list of COCO results; what is neither that nor a prediction is returned as it is.

    Args:
        content: of a file: a list of results, or the ``predictions.json`` of ``vfnet predict``,
            whose images and classes are found by their names.
        truth: the ground truth.
        file: of the detections, for messages.

    Raises:
        ReportInputError: no image or no class has the name of one of the ground truth's, or a name
            means two.
    """
    if isinstance(content, Mapping) and isinstance(truth, Mapping):
        lists: list[Any] = [content.get(key) for key in ("images", "categories", "annotations")]
        if all(isinstance(entries, list) for entries in lists):
            content = _renumbered(*lists, truth=truth, file=file)
    if not isinstance(content, list):
        return content
    return [_as_numbers(entry) if isinstance(entry, dict) else entry for entry in content]


def _as_numbers(entry: dict[str, Any]) -> dict[str, Any]:
    """A result with the numbers that its texts mean; what means none is left as it is."""
    found = dict(entry)
    for key in ("image_id", "category_id"):
        value = as_id(entry.get(key))
        found.update({} if value is None else {key: value})
    score, box = entry.get("score"), entry.get("bbox")
    if isinstance(score, str) and as_number(score) is not None:
        found["score"] = as_number(score)
    if isinstance(box, list) and any(isinstance(value, str) for value in box):
        numbers = [as_number(value) for value in box]
        found["bbox"] = box if None in numbers else numbers
    return found


def _renumbered(
    images: list[Any], categories: list[Any], entries: list[Any], *, truth: Any, file: Path
) -> list[Any]:
    """Annotations with a score, with the ids that images and classes have in the ground truth."""
    if any(not isinstance(entry, Mapping) or "score" not in entry for entry in entries):
        raise ReportInputError(
            f"{file} has annotations without a score: it is a ground truth, not the "
            "predictions.json of `vfnet predict`, nor a list of COCO results"
        )
    ids_of_classes = {as_name(entry["name"]): entry["id"] for entry in truth["categories"]}
    class_ids = {entry["id"]: ids_of_classes.get(as_name(entry["name"])) for entry in categories}
    used = {entry["category_id"] for entry in entries}
    lost = [entry["name"] for entry in categories if class_ids[entry["id"]] is None]
    foreign_classes = {category for category in used if class_ids.get(category) is None}
    if foreign_classes and foreign_classes == used:
        known = ", ".join(str(name) for name in ids_of_classes)
        raise ReportInputError(
            f"{file} has detections of classes that the ground truth lacks ({', '.join(lost)}); "
            f"its classes are {known}"
        )
    by_name = defaultdict(list)
    for entry in truth["images"]:
        by_name[_parts(str(entry["file_name"]))[0]].append(entry)
    image_ids = {entry["id"]: _image_id(entry["file_name"], by_name, file) for entry in images}
    foreign = [entry["file_name"] for entry in images if image_ids[entry["id"]] is None]
    if foreign_classes:
        logger.warning("%s: classes that are not in the ground truth: %s", file, listed(lost))
    if foreign and len(foreign) == len(images):
        raise ReportInputError(
            f"{file}: no image has the name of one of the ground truth's, such as {foreign[0]}"
        )
    if foreign:
        logger.warning("%s: images that are not in the ground truth: %s", file, listed(foreign))
    return [
        {
            "image_id": image_ids[entry["image_id"]],
            "category_id": class_ids[entry["category_id"]],
            "bbox": entry["bbox"],
            "score": entry["score"],
        }
        for entry in entries
        if image_ids.get(entry["image_id"]) is not None
        and class_ids.get(entry["category_id"]) is not None
    ]


def _image_id(name: str, by_name: Mapping[str, list[Any]], file: Path) -> Any:
    """The id of the image with the longest common end; None if no name is the same."""
    parts = _parts(name)
    near = by_name.get(parts[0], [])
    same = [_common(parts, _parts(str(entry["file_name"]))) for entry in near]
    ids = [entry["id"] for entry, n in zip(near, same, strict=True) if n == max(same)]
    if len(ids) > 1:
        raise ReportInputError(f"{file}: {name} may be any of {len(ids)} images of that name")
    return ids[0] if ids else None


def _parts(name: str) -> Sequence[str]:
    """The folders and the name of a path, from the name on."""
    return PurePosixPath(fold(name.replace("\\", "/"))).parts[::-1] or ("",)


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many parts are equal, from the file's name on."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
