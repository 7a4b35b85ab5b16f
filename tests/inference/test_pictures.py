"""Tests of vfnet_d2.inference.pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data.catalog import Metadata
from detectron2.structures import Boxes, Instances
from PIL import Image

from vfnet_d2.inference.pictures import PictureWriter
from vfnet_d2.inference.sources import Frame, Source
from vfnet_d2.inference.writers import OutputNames

HEIGHT, WIDTH = 64, 96
RED = np.full((HEIGHT, WIDTH, 3), (200, 0, 0), dtype=np.uint8)


def frame(path: str, number: int | None = None, image: np.ndarray = RED) -> Frame:
    kind = "image" if number is None else "video"
    return Frame(Source(kind, path), number, image, 10.0)


def detections(count: int = 1) -> Instances:
    return Instances(
        (HEIGHT, WIDTH),
        pred_boxes=Boxes(torch.tensor([[20.0, 30, 70, 60]] * count).reshape(-1, 4)),
        scores=torch.full((count,), 0.9),
        pred_classes=torch.zeros(count, dtype=torch.long),
    )


def writer(folder: Path, frames: list[Frame], *, order: str = "RGB", **options) -> PictureWriter:
    names = OutputNames(folder, [item.source for item in frames])
    metadata = Metadata().set(thing_classes=["cat"])
    return PictureWriter(names, metadata=metadata, input_format=order, **options)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_image_keeps_its_colours(order: str, tmp_path: Path) -> None:
    given = frame("a.png", image=RED if order == "RGB" else np.ascontiguousarray(RED[:, :, ::-1]))
    pictures = writer(tmp_path, [given], order=order)
    pictures.add(given, detections(0))
    assert pictures.finish() == tmp_path / "pictures"
    assert np.array_equal(pixels(tmp_path / "pictures" / "a.png"), RED)


def test_a_detection_is_drawn_around_its_box(tmp_path: Path) -> None:
    given = frame("a.png")
    writer(tmp_path, [given]).add(given, detections())
    drawn = (pixels(tmp_path / "pictures" / "a.png") != RED).any(axis=2)
    assert drawn[31:60, 20].all() and drawn[31:60, 70].all()
    assert not drawn[:, 75:].any() or not drawn[62:, 75:].any()


def test_formats_and_scale(tmp_path: Path) -> None:
    given = [frame("a.jpg"), frame("b.tif")]
    pictures = writer(tmp_path, given, scale=2.0)
    for item in given:
        pictures.add(item, detections())
    found = {}
    for path in (tmp_path / "pictures").iterdir():
        with Image.open(path) as picture:
            found[path.name] = (picture.format, picture.size)
    size = (2 * WIDTH, 2 * HEIGHT)
    assert found == {"a.jpg": ("JPEG", size), "b.png": ("PNG", size)}


def test_videos_become_videos(tmp_path: Path) -> None:
    frames = [*(frame("x/one.mp4", i) for i in range(3)), *(frame("two.avi", i) for i in range(2))]
    pictures = writer(tmp_path, frames)
    for item in frames:
        pictures.add(item, detections())
    pictures.finish()
    counts = {}
    for path in (tmp_path / "pictures").iterdir():
        capture = cv2.VideoCapture(str(path))
        assert capture.get(cv2.CAP_PROP_FPS) == 10
        counts[path.name] = 0
        while capture.read()[0]:
            counts[path.name] += 1
    assert counts == {"one.mp4": 3, "two.mp4": 2}


def test_a_video_that_is_not_complete_goes(tmp_path: Path) -> None:
    given = frame("one.mp4", 0)
    pictures = writer(tmp_path, [given])
    pictures.add(given, detections())
    assert not (tmp_path / "pictures" / "one.mp4").exists()
    pictures.discard()
    assert list((tmp_path / "pictures").iterdir()) == []
