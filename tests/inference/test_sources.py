"""Tests of vfnet_d2.inference.sources."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vfnet_d2.inference.sources import (
    Frame,
    Skipped,
    Source,
    find_sources,
    left_out_of,
    read_frames,
    stem_of,
)

RATE = 5.0


def write_image(path: Path, value: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 16), (value, 0, 0)).save(path)
    return str(path)


def write_video(path: Path, values: list[int]) -> str:
    """Frames of 32 x 16 pixels in greys."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (32, 16))
    for value in values:
        writer.write(np.full((16, 32, 3), value, dtype=np.uint8))
    writer.release()
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, a video, a text, and an image a folder below."""
    path = tmp_path_factory.mktemp("media")
    write_image(path / "b.png")
    write_image(path / "a.JPG")
    write_video(path / "clip.mp4", [40, 120, 200])
    (path / "notes.txt").write_text("")
    write_image(path / "below" / "c.png")
    return path


def names(sources: list[Source]) -> list[tuple[str, str]]:
    return [(source.kind, Path(source.path).name) for source in sources]


def test_a_folder(folder: Path) -> None:
    expected = [("image", "a.JPG"), ("image", "b.png"), ("video", "clip.mp4")]
    assert names(find_sources([str(folder)])) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*.png", ["b.png"]), ("**/*.png", ["b.png", "c.png"]), ("*", ["a.JPG", "b.png", "clip.mp4"])],
)
def test_a_pattern(folder: Path, pattern: str, expected: list[str]) -> None:
    assert [name for _, name in names(find_sources([f"{folder}/{pattern}"]))] == expected


def test_a_camera_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_sources(["0"]) == [Source("camera", "0")]
    os.rename(write_image(tmp_path / "a.png"), "0")
    assert find_sources(["0"]) == [Source("image", "0")]


def test_each_once_in_the_order_given(folder: Path) -> None:
    inputs = [str(folder / "b.png"), str(folder)]
    assert [name for _, name in names(find_sources(inputs))] == ["b.png", "a.JPG", "clip.mp4"]


def test_a_file_named_explicitly_may_end_in_anything(folder: Path) -> None:
    assert names(find_sources([str(folder / "notes.txt")])) == [("image", "notes.txt")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.jpg", r"input none\.jpg does not exist; expected an image"),
        ("none*.jpg", r"input none\*\.jpg has no images or videos"),
    ],
)
def test_nothing_there(text: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        find_sources([text])


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no images or videos; known are \.jpg"):
        find_sources([str(tmp_path)])


def frames_of(inputs: list[Path], **options: int) -> list[Frame | Skipped]:
    return list(read_frames(find_sources([str(x) for x in inputs]), input_format="RGB", **options))


def test_a_video_is_its_frames(folder: Path) -> None:
    frames = frames_of([folder / "clip.mp4"])
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert [frame.image.shape for frame in frames] == [(16, 32, 3)] * 3
    assert [frame.rate for frame in frames] == [RATE] * 3
    # Compressed, so nearly.
    assert np.allclose([frame.image.mean() for frame in frames], [40, 120, 200], atol=5)
    assert frames[2].label == f"{folder / 'clip.mp4'}#000002"


def test_a_number_of_frames(folder: Path) -> None:
    assert len(frames_of([folder / "clip.mp4"], max_frames=2)) == 2


def test_a_camera_is_asked_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        """A red picture each time, as OpenCV gives it, and no rate."""

        def __init__(self, number: int) -> None:
            assert number == 1
            self.released = False
            cameras.append(self)

        def isOpened(self) -> bool:
            return True

        def get(self, key: int) -> float:
            return 0.0

        def read(self) -> tuple[bool, np.ndarray]:
            return True, np.full((16, 32, 3), (0, 0, 255), dtype=np.uint8)

        def release(self) -> None:
            self.released = True

    cameras: list[Camera] = []
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    frames = list(read_frames([Source("camera", "1")], input_format="RGB", max_frames=2))
    assert [frame.label for frame in frames] == ["1#000000", "1#000001"]
    assert [tuple(frame.image[0, 0]) for frame in frames] == [(255, 0, 0)] * 2
    assert [camera.released for camera in cameras] == [True]


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_frames_have_the_order_asked_for(order: str, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "red.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (32, 16)
    )
    writer.write(np.full((16, 32, 3), (0, 0, 255), dtype=np.uint8))  # OpenCV's red
    writer.release()
    for path in (str(tmp_path / "red.mp4"), write_image(tmp_path / "red.png", 255)):
        (frame,) = read_frames([*find_sources([path])], input_format=order)
        assert frame.image[8, 16].argmax() == order.index("R")


def test_what_cannot_be_read_is_skipped(folder: Path, tmp_path: Path) -> None:
    bad = [tmp_path / "bad.png", tmp_path / "bad.mp4"]
    for path in bad:
        path.write_bytes(b"nothing")
    found = frames_of([bad[0], folder / "b.png", bad[1]])
    assert [type(item) for item in found] == [Skipped, Frame, Skipped]
    assert found[0].cause == (
        f"{bad[0]} cannot be read as an image: no image format that Pillow knows"
    )
    assert found[2].cause == f"video {bad[1]} cannot be opened by OpenCV"


def test_a_file_that_goes_meanwhile_is_skipped(tmp_path: Path) -> None:
    sources = find_sources([write_image(tmp_path / "a.png")])
    (tmp_path / "a.png").unlink()
    (found,) = read_frames(sources, input_format="RGB")
    assert isinstance(found, Skipped) and "does not exist" in found.cause


def test_stems() -> None:
    assert stem_of(Source("image", "a/b.c.jpg")) == "b.c"
    assert stem_of(Source("camera", "1")) == "camera_1"


def test_what_a_folder_has_besides_is_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.jfif", "._a.png", ".DS_Store", "labels.txt", "clip.mp4"):
        (tmp_path / name).write_bytes(b"")
    for name in ("IMG_1.HEIC", "raw.dng"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "below").mkdir()
    names = [Path(source.path).name for source in find_sources([str(tmp_path)])]
    assert names == ["a.png", "b.jfif", "clip.mp4"]
    (said,) = left_out_of([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "raw.dng")])
    assert "IMG_1.HEIC, raw.dng. " in said
    assert str(tmp_path) in said
    (said,) = left_out_of([str(tmp_path / "IMG*")])
    assert "IMG_1.HEIC. " in said
