"""What the broken datasets of tests/data/broken are made of."""

import io
from typing import Any, NamedTuple

from PIL import Image

WIDTH, HEIGHT = 16, 12


class Case(NamedTuple):
    """A dataset that is broken in one way.

    Attributes:
        files: content by name below the dataset's folder; dicts and lists become JSON.
        findings: of the check, all of them: the code, then phrases of the text.
        options: how it is opened: arguments of ``open_splits``, "path" below the folder, and
            "val", a validation set below it.
        error: phrases of the message if it cannot be opened.
    """

    files: dict[str, Any]
    findings: tuple[tuple[str, ...], ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012
    error: tuple[str, ...] = ()


def encoded(
    shade: int, *, kind: str = "PNG", size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1
) -> bytes:
    """A small image file: a gradient, so that its data cannot shrink to nothing."""
    image = Image.new("RGB", size)
    image.putdata([(x * 7 % 256, shade, x * 13 % 256) for x in range(size[0] * size[1])])
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"exif": exif} if orientation != 1 else {}))
    return buffer.getvalue()


def coco(
    *,
    images: list[Any] | None = None,
    annotations: list[Any] | None = None,
    categories: list[Any] | None = None,
) -> dict[str, Any]:
    """A COCO JSON of one image a.png with a cat; lists that are given take the place of these."""
    return {
        "images": [coco_image(1, "a.png")] if images is None else images,
        "annotations": [coco_box(1)] if annotations is None else annotations,
        "categories": [{"id": 1, "name": "cat"}] if categories is None else categories,
    }


def coco_image(image_id: int, file_name: str, **changes: Any) -> dict[str, Any]:
    """An entry of the images."""
    return {"id": image_id, "file_name": file_name, "width": WIDTH, "height": HEIGHT, **changes}


def coco_box(annotation_id: int, **changes: Any) -> dict[str, Any]:
    """An entry of the annotations: a cat in image 1."""
    good = {"image_id": 1, "category_id": 1, "bbox": [2, 3, 4, 5], "area": 20, "iscrowd": 0}
    return {"id": annotation_id, **good, **changes}
