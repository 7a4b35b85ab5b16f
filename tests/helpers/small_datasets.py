"""Small datasets for tests of readers and checks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import Reader
from vfnet_d2.data.formats.records import Annotation, ImageRecord, findings_of, records_of

CLASSES = ("cat", "dog")


def record(
    path: str | Path = "a.png",
    *,
    size: tuple[int, int] = (100, 50),
    boxes: Sequence[tuple[float, float, float, float]] = ((10, 20, 30, 40),),
    **changes: Any,
) -> ImageRecord:
    """An image with boxes of the first class; other fields of ImageRecord as given."""
    annotations = tuple(
        Annotation(box, 0, False, (box[2] - box[0]) * (box[3] - box[1]), f"annotation {number}")
        for number, box in enumerate(boxes, start=1)
    )
    fields = {"annotations": annotations, "image_id": 1, "file": "a.json", "where": "image 1"}
    width, height = size
    return ImageRecord(
        **{"path": str(path), "width": width, "height": height, "normalised": False}
        | fields
        | changes
    )


def save_image(path: Path, *, size: tuple[int, int] = (100, 50), orientation: int = 1) -> Path:
    """Write a gradient image, whose upper left corner is darkest, with an EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def write_files(folder: Path, files: dict[str, Any]) -> Path:
    """Write text files; dicts become JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def read(reader: Reader) -> tuple[list[ImageRecord], list[Finding]]:
    """All images and all findings of a reader."""
    readings = list(reader.read())
    return list(records_of(readings)), list(findings_of(readings))


def boxes_of(records: Sequence[ImageRecord]) -> list[list[tuple[float, ...]]]:
    """The boxes of each image."""
    return [[annotation.box for annotation in item.annotations] for item in records]
