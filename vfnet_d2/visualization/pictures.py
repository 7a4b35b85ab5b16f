"""Pictures of ground truth and predictions, and several pictures in one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import detection_utils
from detectron2.structures import BoxMode, Instances
from PIL import Image, ImageDraw

from vfnet_d2.utils.files import replacing
from vfnet_d2.visualization.boxes import draw_boxes
from vfnet_d2.visualization.palette import class_color

_CAPTION_HEIGHT = 24
_MARGIN = 6


def draw_predictions(
    file_name: str, detections: Instances, metadata: Any, *, score_thresh: float, scale: float = 1.0
) -> np.ndarray:
    """Draw the detections of an image file that score at least ``score_thresh``.

    Args:
        file_name: the image.
        detections: in the file's coordinates.
        metadata: of a dataset, for class names.
        score_thresh: lowest score drawn.
        scale: enlargement of the picture.

    Returns:
        RGB picture (H, W, 3), uint8.
    """
    image = detection_utils.read_image(file_name, format="RGB")
    shown = detections[detections.scores >= score_thresh]
    return draw_detections(image, shown, metadata, scale=scale)


def draw_detections(
    image: np.ndarray, detections: Instances, metadata: Any, *, scale: float = 1.0
) -> np.ndarray:
    """Draw detections on an RGB image (H, W, 3); the other arguments and the result as above."""
    classes, scores = detections.pred_classes.tolist(), detections.scores.tolist()
    labels = [
        f"{_class_name(metadata, index)} {score:.0%}"
        for index, score in zip(classes, scores, strict=True)
    ]
    boxes = detections.pred_boxes.tensor.cpu().numpy()
    return draw_boxes(image, boxes, [class_color(i) for i in classes], labels, scale=scale)


def draw_ground_truth(
    dataset_dict: dict[str, Any], metadata: Any, *, scale: float = 1.0
) -> np.ndarray:
    """Draw the annotated boxes of a dataset dict; arguments and result as above."""
    image = detection_utils.read_image(dataset_dict["file_name"], format="RGB")
    annotations = dataset_dict.get("annotations", [])
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    classes = [a["category_id"] for a in annotations]
    labels = [
        _class_name(metadata, a["category_id"]) + (" (crowd)" if a.get("iscrowd") else "")
        for a in annotations
    ]
    return draw_boxes(
        image, np.array(boxes), [class_color(i) for i in classes], labels, scale=scale
    )


def _class_name(metadata: Any, index: int) -> str:
    """Return the name of a class, or its number where the metadata has no names."""
    names = metadata.get("thing_classes", None)
    return str(names[index]) if names else str(index)


def with_caption(picture: np.ndarray, caption: str) -> np.ndarray:
    """Put a line of text above a picture (H, W, 3)."""
    canvas = Image.new(
        "RGB", (picture.shape[1], picture.shape[0] + _CAPTION_HEIGHT), color=(255, 255, 255)
    )
    canvas.paste(Image.fromarray(picture), (0, _CAPTION_HEIGHT))
    ImageDraw.Draw(canvas).text((4, 5), caption, fill=(0, 0, 0))
    return np.asarray(canvas)


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures of any size into one row on white."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + _MARGIN * (len(pictures) - 1)
    row = np.full((height, width, 3), 255, dtype=np.uint8)
    left = 0
    for picture in pictures:
        row[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + _MARGIN
    return row


def stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures below each other on white."""
    return side_by_side([row.transpose(1, 0, 2) for row in rows]).transpose(1, 0, 2)


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Write an RGB picture (H, W, 3), uint8, as PNG; its folder is made if needed."""
    with replacing(path) as scratch:
        Image.fromarray(picture).save(scratch, format="PNG")
