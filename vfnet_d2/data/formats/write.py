"""Writing datasets: COCO JSON, Pascal VOC XML, YOLO txt and AutoML JSONL.

A dataset is written into a folder with its images in ``images/`` (VOC: ``JPEGImages/``).
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import yaml

from vfnet_d2.data.formats.records import ImageRecord
from vfnet_d2.data.formats.yolo_lines import label_file
from vfnet_d2.utils.files import new_folder, write_text

Records = Sequence[ImageRecord]
Names = Sequence[str]


def finite(record: ImageRecord) -> ImageRecord:
    """The record without boxes that are not finite, which no format can hold."""
    kept = tuple(a for a in record.annotations if all(map(math.isfinite, (*a.box, a.area))))
    return record._replace(annotations=kept)


def image_names(records: Records, *, flat: bool = False) -> list[str]:
    """File names of the images in a new dataset: their paths below the folder of all, distinct.

    No two have the same name up to the suffix and to case, since label files are named after it.

    Args:
        records: the images.
        flat: write all into one folder.
    """
    paths = [os.path.abspath(record.path) for record in records]
    base = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        parts = Path(path).relative_to(base).parts
        wanted = PurePosixPath("_".join(parts) if flat else "/".join(parts))
        name, number = wanted, 1
        while str(name.with_suffix("")).casefold() in taken:
            number += 1
            name = wanted.with_name(f"{wanted.stem}_{number}{wanted.suffix}")
        taken.add(str(name.with_suffix("")).casefold())
        names.append(str(name))
    return names


def _put(path: Path, text: str) -> None:
    """Write a small file of a new folder, of which there may be many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be Unicode


def coco_content(records: Records, names: Names, classes: Sequence[str]) -> dict[str, Any]:
    """The content of a COCO JSON; category and annotation ids count from 1.

    Args:
        records: the images, whose ids are kept.
        names: file name of each.
        classes: class names.
    """
    images = [
        {"id": r.image_id, "file_name": name, "width": r.width, "height": r.height}
        for r, name in zip(records, names, strict=True)
    ]
    flat = [(r.image_id, annotation) for r in records for annotation in finite(r).annotations]
    annotations = []
    for number, (image_id, annotation) in enumerate(flat, start=1):
        x1, y1, x2, y2 = annotation.box
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": annotation.class_index + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": annotation.area,
                "iscrowd": int(annotation.iscrowd),
            }
        )
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco_json(path: Path, records: Records, names: Names, classes: Sequence[str]) -> None:
    """Write a COCO JSON; arguments as above."""
    content = coco_content(records, names, classes)
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False))


def _write_coco(folder: Path, records: Records, names: Names, classes: Sequence[str]) -> None:
    write_coco_json(folder / "annotations.json", records, names, classes)


def _write_yolo(folder: Path, records: Records, names: Names, classes: Sequence[str]) -> None:
    config = {"train": "images", "nc": len(classes), "names": list(classes)}
    write_text(folder / "data.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    for record, name in zip(records, names, strict=True):
        lines = []
        for annotation in finite(record).annotations:
            if annotation.iscrowd:
                continue  # the format has none, and an ordinary object would be trained on
            x1, y1, x2, y2 = annotation.box
            values = (
                (x1 + x2) / 2 / record.width,
                (y1 + y2) / 2 / record.height,
                (x2 - x1) / record.width,
                (y2 - y1) / record.height,
            )
            numbers = " ".join(f"{value:.8f}" for value in values)
            lines.append(f"{annotation.class_index} {numbers}\n")
        # Where the reader looks: a folder below images/ may be called images, too.
        _put(label_file(folder / "images" / name), "".join(lines))


def _write_voc(folder: Path, records: Records, names: Names, classes: Sequence[str]) -> None:
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in classes))
    for record, name in zip(records, names, strict=True):
        root = ElementTree.Element("annotation")
        _add(root, filename=name)
        size = ElementTree.SubElement(root, "size")
        _add(size, width=record.width, height=record.height, depth=3)
        for annotation in finite(record).annotations:
            item = ElementTree.SubElement(root, "object")
            _add(item, name=classes[annotation.class_index], difficult=int(annotation.iscrowd))
            x1, y1, x2, y2 = annotation.box
            corners = ElementTree.SubElement(item, "bndbox")
            # The first pixel is 1, the last one is inside: the reverse of what the reader does.
            _add(corners, xmin=_short(x1 + 1), ymin=_short(y1 + 1), xmax=_short(x2))
            _add(corners, ymax=_short(y2))
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        _put((folder / "Annotations" / name).with_suffix(".xml"), f"{text}\n")


def _write_jsonl(folder: Path, records: Records, names: Names, classes: Sequence[str]) -> None:
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in classes))
    lines = []
    for record, name in zip(records, names, strict=True):
        label = []
        for annotation in finite(record).annotations:
            x1, y1, x2, y2 = annotation.box
            corners = {"topX": x1 / record.width, "topY": y1 / record.height}
            corners |= {"bottomX": x2 / record.width, "bottomY": y2 / record.height}
            name_of_class = classes[annotation.class_index]
            label.append({"label": name_of_class, **corners, "isCrowd": int(annotation.iscrowd)})
        details = {"width": f"{record.width}px", "height": f"{record.height}px"}
        entry = {"image_url": f"images/{name}", "image_details": details, "label": label}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    write_text(folder / "annotations.jsonl", "".join(lines))


WRITERS: Mapping[str, Callable[[Path, Records, Names, Sequence[str]], None]] = {
    "coco": _write_coco,
    "voc": _write_voc,
    "yolo": _write_yolo,
    "jsonl": _write_jsonl,
}


def write_dataset(folder: Path, format_name: str, records: Records, classes: Sequence[str]) -> None:
    """Write annotations and copies of the images into a new folder.

    Args:
        folder: must not exist, or be empty; appears when it is complete.
        format_name: key of WRITERS.
        records: images with known sizes whose files exist.
        classes: class names.

    Raises:
        FileExistsError: there is something at ``folder``.
        OSError: an image cannot be copied.
    """
    names = image_names(records, flat=format_name == "voc")
    images = "JPEGImages" if format_name == "voc" else "images"
    with new_folder(folder) as scratch:
        WRITERS[format_name](scratch, records, names, classes)
        for record, name in zip(records, names, strict=True):
            target = scratch / images / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record.path, target)


def _add(parent: ElementTree.Element, **values: object) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)


def _short(value: float) -> str:
    """A float as text that reads back as itself; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(value)
