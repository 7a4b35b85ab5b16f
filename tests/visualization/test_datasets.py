"""Tests of vfnet_d2.visualization.datasets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small_datasets import CLASSES, record, save_image
from vfnet_d2.check.across import Split
from vfnet_d2.check.images import inspect_images
from vfnet_d2.data.formats.coco import CocoReader
from vfnet_d2.data.formats.records import ImageRecord
from vfnet_d2.visualization.datasets import contact_sheet, write_pictures


def split(records: list[ImageRecord]) -> Split:
    facts = inspect_images([item.path for item in records], decode=False, workers=1)
    return Split(CocoReader(Path("x.json"), classes=CLASSES), records, facts, [])


def sheet_of(records: list[ImageRecord]) -> np.ndarray:
    sheet = contact_sheet(split(records))
    assert sheet is not None
    return sheet


def test_all_pictures_of_all_splits(tmp_path: Path) -> None:
    good = split([record(save_image(tmp_path / "a.png"))])
    paths = write_pictures({"train": good, "val": split([])}, tmp_path / "pictures")
    stems = ["train_box_sizes", "train_class_balance", "train_contact_sheet"]
    # A split without images has no contact sheet.
    assert [path.stem for path in paths] == [*stems, "val_box_sizes", "val_class_balance"]
    for path in paths:
        Image.open(path).load()


@pytest.mark.parametrize("count", [0, 1, 41])
def test_any_number_of_classes(tmp_path: Path, count: int) -> None:
    reader = CocoReader(Path("x.json"), classes=[f"class {i}" for i in range(count)])
    item = record(save_image(tmp_path / "a.png"), boxes=[(1, 2, 30, 40)] if count else [])
    facts = inspect_images([item.path], decode=False, workers=1)
    assert len(write_pictures({"": Split(reader, [item], facts, [])}, tmp_path / "new")) == 3


def test_a_box_is_drawn_where_it_is(tmp_path: Path) -> None:
    # A grey image of 360 x 180 is drawn as it is, 8 pixels from the left and 34 from the top.
    path = tmp_path / "a.png"
    Image.new("RGB", (360, 180), (128, 128, 128)).save(path)
    sheet = sheet_of([record(path, size=(360, 180), boxes=[(100, 60, 300, 150)])])
    tile = sheet[34 : 34 + 180, 8 : 8 + 360].astype(int)
    # Far from the label, which stands at the upper left corner.
    coloured = np.abs(tile - 128).sum(axis=2)[100:] > 60
    rows, columns = np.nonzero(coloured)
    assert abs(columns.min() - 100) <= 3 and abs(columns.max() - 300) <= 3
    assert abs(rows.max() + 100 - 150) <= 3


@pytest.mark.parametrize(("number", "columns", "rows"), [(1, 1, 1), (7, 5, 2), (21, 5, 4)])
def test_the_size_of_the_sheet(tmp_path: Path, number: int, columns: int, rows: int) -> None:
    path = save_image(tmp_path / "a.png", size=(60, 60))
    sheet = sheet_of([record(path, size=(60, 60), boxes=[(1, 1, 9, 9)])] * number)
    # A tile is 360 pixels and a margin of 8; above each row are 26 of caption.
    assert sheet.shape == (rows * (360 + 26 + 8) + 8, columns * (360 + 8) + 8, 3)


def test_unreadable_images_and_wild_boxes_are_left_out(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png")
    wild = record(path, boxes=[(float("nan"), 0, 5, 5), (500, 500, 600, 600), (9, 9, 3, 3)])
    sheet = sheet_of([record(tmp_path / "missing.png"), wild])
    assert sheet.shape[1] == 360 + 2 * 8


def test_doubtful_images_are_in_a_sheet_of_a_large_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfnet_d2.visualization.datasets._ROWS", 1)
    path = save_image(tmp_path / "a.png", size=(60, 60))
    plain = record(path, size=(60, 60), boxes=[(1, 1, 9, 9)])
    doubtful = record(path, size=(60, 60), boxes=[(1, 1, 90, 9)])
    records = [plain] * 200
    without = sheet_of(records)
    records[137] = doubtful
    red = (np.abs(sheet_of(records).astype(int) - (0xB0, 0x00, 0x20)).sum(axis=2) < 60).sum()
    assert red > 0
    assert (np.abs(without.astype(int) - (0xB0, 0x00, 0x20)).sum(axis=2) < 60).sum() == 0
