"""Tests of benchmarks.data: what is read, not how long it takes."""

from pathlib import Path
from typing import Any

import cv2
import pytest
from detectron2.data import DatasetMapper

from benchmarks.data import PHOTO, data_job, write_photos
from tests.helpers.small_model import small_config


def test_photographs_are_as_described_and_compress_like_photographs(tmp_path: Path) -> None:
    records = write_photos(tmp_path, images=2, boxes=3)
    for record in records:
        path = Path(record["file_name"])
        assert cv2.imread(str(path)).shape == (*PHOTO, 3) == (record["height"], record["width"], 3)
        assert 0.02 < path.stat().st_size / (3 * PHOTO[0] * PHOTO[1]) < 0.2
        for annotation in record["annotations"]:
            x, y, w, h = annotation["bbox"]
            assert 0 <= x <= x + w <= PHOTO[1] and 0 <= y <= y + h <= PHOTO[0]
    assert [len(record["annotations"]) for record in records] == [3, 3]


def test_every_image_goes_through_the_config_s_augmentation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    mapped = DatasetMapper.__call__
    monkeypatch.setattr(
        DatasetMapper,
        "__call__",
        lambda mapper, record: seen.append(mapped(mapper, record)),
    )
    cfg = small_config("INPUT.MIN_SIZE_TRAIN", (96,))
    job = data_job(cfg, images=3, boxes=2)
    assert set(job()) == {"data"}
    assert [tuple(item["image"].shape) for item in seen] == [(3, 96, 128)] * 3
    assert [len(item["instances"]) for item in seen] == [2, 2, 2]
