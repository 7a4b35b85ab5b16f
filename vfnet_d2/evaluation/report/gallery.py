"""Pictures of mistakes: the part of the image around a box."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import detection_utils
from PIL import Image

from vfnet_d2.visualization.boxes import draw_boxes
from vfnet_d2.visualization.palette import DETECTED, TRUTH

# Side of the pictures in pixels; the page shows them at half of it, sharp on dense screens.
PICTURE_SIDE = 360
# Seen around a box: this part of its longer side, and in all at least so many pixels.
_MARGIN = 0.75
_SMALLEST_VIEW = 64


def add_pictures(report: Mapping[str, Any], files: Mapping[Any, str | Path]) -> None:
    """Put a "picture" (a data URI) into each mistake, or "no_picture" (the reason) if it fails.

    Args:
        report: of :func:`~vfnet_d2.evaluation.report.build.make_report`; changed in place.
        files: path of each image, by its id.
    """
    for key, colour in (("false_positives", DETECTED), ("misses", TRUTH)):
        for entry in report[key]:
            _add_picture(entry, files, colour)


def _add_picture(entry: dict[str, Any], files: Mapping[Any, str | Path], colour: str) -> None:
    """Add a picture to a mistake, whose own box has the given colour."""
    boxes = [(entry["box"], colour)]
    if entry.get("nearest"):
        boxes.insert(0, (entry["nearest"]["box"], TRUTH))
    file = files.get(entry["image_id"])
    if file is None or not Path(file).is_file():
        entry["no_picture"] = "the image is not there"
        return
    try:
        image = detection_utils.read_image(str(file), format="RGB")
    except (OSError, ValueError) as error:
        entry["no_picture"] = f"the image cannot be read ({type(error).__name__})"
        return
    entry["picture"] = data_uri(draw_view(image, boxes))


def draw_view(image: np.ndarray, boxes: Sequence[tuple[Sequence[float], str]]) -> np.ndarray:
    """Draw boxes on the square part of an image around them.

    Args:
        image: RGB (H, W, 3), uint8.
        boxes: x, y, width, height in pixels, and a colour, of each.

    Returns:
        RGB, PICTURE_SIDE pixels on its longer side, uint8.
    """
    left, top, right, bottom = view_around([box for box, _ in boxes], image.shape[:2])
    view = np.ascontiguousarray(image[top:bottom, left:right])
    scale = PICTURE_SIDE / max(view.shape[:2])
    # Enlarged first, so that lines have the same width in all pictures.
    size = (max(1, round(view.shape[1] * scale)), max(1, round(view.shape[0] * scale)))
    view = np.asarray(Image.fromarray(view).resize(size, Image.Resampling.BICUBIC))
    corners = [(x - left, y - top, x + w - left, y + h - top) for (x, y, w, h), _ in boxes]
    return draw_boxes(view, np.array(corners) * scale, [colour for _, colour in boxes])


def view_around(
    boxes: Sequence[Sequence[float]], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a square around boxes, cut at the image's edges.

    Args:
        boxes: x, y, width, height of each.
        size: height and width of the image.
    """
    array = np.asarray(boxes, dtype=float)
    low, high = array[:, :2].min(axis=0), (array[:, :2] + array[:, 2:]).max(axis=0)
    side = max((high - low).max() * (1 + 2 * _MARGIN), _SMALLEST_VIEW)
    limits = np.array([size[1], size[0]])
    # A box may lie outside: the view shows at least one pixel of the image.
    start = np.clip(np.floor((low + high - side) / 2), 0, limits - 1).astype(int)
    end = np.clip(np.ceil((low + high + side) / 2), start + 1, limits).astype(int)
    return int(start[0]), int(start[1]), int(end[0]), int(end[1])


def data_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) as JPEG inside a URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def without_pictures(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report for JSON, where pictures have no use."""
    plain = dict(report)
    for key in ("false_positives", "misses"):
        plain[key] = [
            {name: value for name, value in entry.items() if name != "picture"}
            for entry in report[key]
        ]
    return plain
