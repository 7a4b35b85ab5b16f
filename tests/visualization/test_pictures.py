"""Tests of vfnet_d2.visualization.pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from PIL import Image

from vfnet_d2.visualization.pictures import (
    draw_ground_truth,
    draw_predictions,
    side_by_side,
    stack,
    with_caption,
)

RED = (200, 30, 10)
BOX = [40.0, 30.0, 80.0, 70.0]


@pytest.fixture
def metadata() -> Iterator[Any]:
    name = "classes_of_pictures"
    yield MetadataCatalog.get(name).set(thing_classes=["cat", "dog"])
    MetadataCatalog.remove(name)


@pytest.fixture
def red_image(tmp_path: Path) -> str:
    """A red image file, 120 wide and 90 high."""
    Image.new("RGB", (120, 90), RED).save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def detections(*scores: float) -> Instances:
    found = Instances((90, 120))
    found.pred_boxes = Boxes(torch.tensor([BOX] * len(scores)).reshape(-1, 4))
    found.scores = torch.tensor(scores)
    found.pred_classes = torch.zeros(len(scores), dtype=torch.int64)
    return found


def is_changed(picture: np.ndarray) -> np.ndarray:
    """(H, W) mask of the pixels that are not red."""
    return (picture != RED).any(axis=2)


def outline(box: list[float], *, margin: int) -> np.ndarray:
    """(90, 120) mask of the pixels at most ``margin`` pixels off a box's edges."""
    y, x = np.mgrid[:90, :120] + 0.5
    x1, y1, x2, y2 = box
    outside = np.maximum.reduce([x1 - x, x - x2, y1 - y, y - y2])
    return np.abs(outside) <= margin


def test_nothing_is_drawn_without_detections(red_image: str, metadata: Any) -> None:
    picture = draw_predictions(red_image, detections(), metadata, score_thresh=0.3)
    assert picture.shape == (90, 120, 3) and picture.dtype == np.uint8
    assert not is_changed(picture).any()  # red stays red: the channels are in RGB order


def test_the_box_is_drawn_where_it_is(red_image: str, metadata: Any) -> None:
    changed = is_changed(draw_predictions(red_image, detections(0.9), metadata, score_thresh=0.3))
    assert changed[outline(BOX, margin=0.5)].mean() > 0.9
    # The label stands on the box and may be longer than it.
    assert not changed[:10].any() and not changed[80:].any() and not changed[:, :30].any()


@pytest.mark.parametrize(("score", "is_drawn"), [(0.75, True), (0.5, True), (0.4375, False)])
def test_scores_from_the_threshold_up_are_drawn(
    red_image: str, metadata: Any, score: float, is_drawn: bool
) -> None:
    picture = draw_predictions(red_image, detections(score), metadata, score_thresh=0.5)
    assert is_changed(picture).any() == is_drawn


def test_enlargement(red_image: str, metadata: Any) -> None:
    empty, item = detections(), {"file_name": red_image, "annotations": []}
    assert draw_predictions(red_image, empty, metadata, score_thresh=0.3, scale=2.5).shape == (
        225,
        300,
        3,
    )
    assert draw_ground_truth(item, metadata, scale=3).shape == (270, 360, 3)


def test_ground_truth_is_drawn_where_it_is(red_image: str, metadata: Any) -> None:
    annotation = {"bbox": BOX, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1}
    item = {"file_name": red_image, "annotations": [annotation]}
    changed = is_changed(draw_ground_truth(item, metadata))
    assert changed[outline(BOX, margin=0.5)].mean() > 0.9
    assert not changed[:10].any() and not changed[80:].any() and not changed[:, :30].any()


def test_caption_stands_above_an_unchanged_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 80, 3), dtype=np.uint8)
    result = with_caption(picture, "truth")
    above, below = result[:-30], result[-30:]
    assert np.array_equal(below, picture)
    assert above.shape == (24, 80, 3)
    assert (above == 255).any() and (above < 128).any()  # black letters on white


def test_side_by_side_fills_up_with_white() -> None:
    # 2 high, 1 wide, beside 1 high, 2 wide, with 6 between.
    row = side_by_side([np.full((2, 1, 3), 10, np.uint8), np.full((1, 2, 3), 20, np.uint8)])
    assert row[..., 0].tolist() == [[10, *[255] * 6, 20, 20], [10, *[255] * 8]]
    assert (row[..., 0] == row[..., 1]).all() and (row[..., 0] == row[..., 2]).all()


def test_stack_keeps_each_picture_upright() -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    result = stack([pixels, pixels[:, :1]])
    assert result.shape == (2 + 6 + 2, 3, 3)
    assert np.array_equal(result[:2], pixels)
    assert np.array_equal(result[8:, :1], pixels[:, :1])
    assert (result[2:8] == 255).all() and (result[8:, 1:] == 255).all()
