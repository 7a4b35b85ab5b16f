"""Tests of vfnet_d2.evaluation.report.gallery."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_d2.evaluation.report.gallery import (
    PICTURE_SIDE,
    add_pictures,
    data_uri,
    draw_view,
    view_around,
    without_pictures,
)


@pytest.mark.parametrize(
    ("boxes", "size", "expected"),
    [
        # Side 100 * 2.5 = 250 around (200, 200).
        ([(150, 150, 100, 100)], (400, 400), (75, 75, 325, 325)),
        # The longer side counts: 40 * 2.5 = 100 around (200, 200).
        ([(180, 195, 40, 10)], (400, 400), (150, 150, 250, 250)),
        # A small box still shows 64 pixels.
        ([(198, 198, 4, 4)], (400, 400), (168, 168, 232, 232)),
        # Cut at the edges of an image of 100 x 50 pixels.
        ([(80, 10, 20, 20)], (50, 100), (58, 0, 100, 50)),
        # Around both: x from 100 to 180, so 80 * 2.5 = 200 around (140, 105).
        ([(100, 100, 10, 10), (170, 100, 10, 10)], (400, 400), (40, 5, 240, 205)),
        # Outside of the image: one column of it.
        ([(500, 10, 10, 10)], (50, 100), (99, 0, 100, 47)),
    ],
)
def test_view(boxes: list, size: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert view_around(boxes, size) == expected


def test_the_box_is_drawn_where_it_is() -> None:
    image = np.zeros((400, 400, 3), dtype=np.uint8)
    picture = draw_view(image, [((150, 150, 100, 100), "#ff0000")])
    assert picture.shape == (PICTURE_SIDE, PICTURE_SIDE, 3)
    rows, columns = np.nonzero(picture[..., 0] > 128)
    # The view starts at 75 and is enlarged by 360 / 250 = 1.44: edges at 108 and 252.
    for found in (rows, columns):
        assert (found.min(), found.max()) == (pytest.approx(108, abs=3), pytest.approx(252, abs=3))
    assert picture[180, 180].tolist() == [0, 0, 0]


def test_a_uri_holds_the_picture() -> None:
    kind, _, content = data_uri(np.full((5, 7, 3), 200, dtype=np.uint8)).partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (7, 5)


def test_pictures_and_why_there_is_none(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"not an image")
    box = [10, 10, 20, 20]
    report = {
        "false_positives": [{"image_id": 1, "box": box, "nearest": {"box": box}}],
        "misses": [{"image_id": k, "box": box} for k in (2, 3, 4)],
    }
    files = {1: tmp_path / "good.png", 2: tmp_path / "gone.png", 3: tmp_path / "bad.png"}
    add_pictures(report, files)
    assert report["false_positives"][0]["picture"].startswith("data:image/jpeg;base64,")
    assert [entry["no_picture"] for entry in report["misses"]] == [
        "the image is not there",
        "the image cannot be read (UnidentifiedImageError)",
        "the image is not there",
    ]
    assert without_pictures(report)["false_positives"] == [
        {"image_id": 1, "box": box, "nearest": {"box": box}}
    ]
