"""Reading registered datasets with checks: missing files and boxes that must not reach the loss."""

import difflib
import logging
import math
import os
from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.structures import BoxMode

from vfnet_d2.data.formats.values import as_flag
from vfnet_d2.utils.errors import UserError
from vfnet_d2.utils.registry import lookup_name

logger = logging.getLogger(__name__)

DatasetDict = dict[str, Any]
_SHOWN = 10  # problems listed one by one before the rest is only counted


def load_dataset(names: str | Sequence[str], *, filter_empty: bool) -> list[DatasetDict]:
    """Load registered datasets as Detectron2 does, then check files and boxes.

    Args:
        names: of datasets in Detectron2's ``DatasetCatalog``.
        filter_empty: drop images without objects that count.

    Returns:
        Detectron2 dataset dicts; objects with unusable boxes are taken out and named in a warning.

    Raises:
        FileNotFoundError: annotation file, image folder or images missing; names the path and how
            to set the root.
    """
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        _check_registered(name)
        check_dataset_files(name)
    # Empty images are dropped after the boxes are checked: taking a box out can empty an image.
    dicts = get_detection_dataset_dicts(names, filter_empty=False)
    check_image_files(names, dicts)
    fill_in_crowds(dicts)
    remove_bad_boxes(dicts)
    return [d for d in dicts if _has_objects(d)] if filter_empty else dicts


def _check_registered(name: str) -> None:
    if name not in DatasetCatalog:
        near = difflib.get_close_matches(name, DatasetCatalog.list(), n=1)
        hint = f" (the nearest is {near[0]!r})" if near else ""
        raise UserError(
            f"dataset {name!r} is not registered{hint}: register it before training, with "
            "vfnet_d2's register_dataset or Detectron2's register_coco_instances"
        )


def check_dataset_files(name: str) -> None:
    """Raise FileNotFoundError if the dataset says where its files are and they are not there."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("made_on_first_use"):
        return
    for attribute in ("json_file", "image_root"):
        path = metadata.get(attribute)
        if path and "://" not in path and not os.path.exists(path):
            raise FileNotFoundError(f"dataset {name!r}: {path} does not exist. {_root_advice()}")


def check_image_files(names: Sequence[str], dicts: Sequence[DatasetDict]) -> None:
    """Raise FileNotFoundError that counts and names missing images.

    One listing a folder instead of one look-up an image: COCO has 118,000 of them.
    """
    listings: dict[str, set[str]] = {}
    missing = []
    for item in dicts:
        folder, _, base = item.get("file_name", "").rpartition("/")
        if not base or "://" in folder:
            continue
        if folder not in listings:
            listings[folder] = (
                set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
            )
        if base not in listings[folder]:
            missing.append(item["file_name"])
    if missing:
        raise FileNotFoundError(
            f"dataset {', '.join(names)}: {len(missing)} of {len(dicts)} images are missing, "
            f"first {missing[0]}. {_root_advice()}"
        )


def _root_advice() -> str:
    root = os.environ.get("DETECTRON2_DATASETS")
    current = f"now {root}" if root else 'not set, so "datasets" in the working directory'
    return (
        "Built-in datasets are looked for below the folder that the environment variable "
        f"DETECTRON2_DATASETS names ({current}); set it to where the data is"
    )


def fill_in_crowds(dicts: Sequence[DatasetDict]) -> int:
    """Give every object an ``iscrowd`` of 0 or 1: a text such as "0" would count as a crowd.

    Args:
        dicts: dataset dicts, changed in place.

    Returns:
        how many objects lacked it, or had it as something else; a warning counts them.

    Raises:
        UserError: it is neither true nor false.
    """
    filled = 0
    for item in dicts:
        for annotation in item.get("annotations", []):
            crowd = annotation.get("iscrowd")
            flag = as_flag(crowd)
            if flag is None:
                raise UserError(f"{item.get('file_name')}: iscrowd must be 0 or 1, got {crowd!r}")
            if crowd is None or isinstance(crowd, str):
                filled += 1
            annotation["iscrowd"] = int(flag)
    if filled:
        logger.warning("%d objects have no iscrowd, or it as text: read as 0 or 1", filled)
    return filled


def remove_bad_boxes(dicts: Sequence[DatasetDict]) -> int:
    """Take out objects whose box is not finite, has no area or lies outside the image.

    COCO itself has a few. They are named in one warning, with file and annotation.

    Args:
        dicts: dataset dicts, changed in place.

    Returns:
        how many objects were taken out.
    """
    problems = []
    for item in dicts:
        kept = []
        for index, annotation in enumerate(item.get("annotations", [])):
            problem = _box_problem(annotation, item)
            if problem:
                label = f"annotation {annotation.get('id', f'number {index}')}"
                problems.append(
                    f"{item.get('file_name', item.get('image_id'))}, {label}: {problem}"
                )
            else:
                kept.append(annotation)
        if "annotations" in item:
            item["annotations"] = kept
    if problems:
        shown = "\n  ".join(problems[:_SHOWN])
        more = len(problems) - _SHOWN
        tail = f"\n  and {more} more" if more > 0 else ""
        logger.warning("Left out %d objects with bad boxes:\n  %s%s", len(problems), shown, tail)
    return len(problems)


def _box_problem(annotation: dict[str, Any], item: DatasetDict) -> str:
    """Describe what is wrong with an annotation's box, or return ""."""
    raw = [float(value) for value in annotation["bbox"]]
    if not all(math.isfinite(value) for value in raw):
        return f"box {raw} is not finite"
    x1, y1, x2, y2 = BoxMode.convert(raw, annotation["bbox_mode"], BoxMode.XYXY_ABS)
    if x2 <= x1 or y2 <= y1:
        return f"box {raw} has no area"
    width, height = item.get("width"), item.get("height")
    if width and height and (min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0)):
        return f"box {raw} lies outside the image of {width} x {height} pixels"
    return ""


def _has_objects(item: DatasetDict) -> bool:
    """Whether an image has an object that is not a crowd."""
    return any(not annotation.get("iscrowd", 0) for annotation in item.get("annotations", []))


def check_num_classes(num_classes: int, dataset_names: Sequence[str], *, key: str) -> None:
    """Compare the model's classes with those of every dataset.

    Args:
        num_classes: of the model.
        dataset_names: registered datasets; load them first, since loading fills in their classes.
        key: the config key that sets ``num_classes``.

    Raises:
        ValueError: they differ; names both.
    """
    for name in dataset_names:
        classes = MetadataCatalog.get(name).get("thing_classes")
        if classes is not None and len(classes) != num_classes:
            shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
            raise ValueError(
                f"{key} is {num_classes}, but dataset {name!r} has {len(classes)} classes "
                f"({shown}); set {key} to {len(classes)}"
            )


def check_test_sets(names: Sequence[str]) -> None:
    """Find out before a training what its first evaluation, hours later, would stop at.

    Args:
        names: of the test sets.

    Raises:
        ValueError: one is not registered; lists the registered ones.
        FileNotFoundError: annotation file or image folder of one are missing.
    """
    for name in names:
        lookup_name(DatasetCatalog, name, key="a test set of the config")
        check_dataset_files(name)
