"""Tests of vfnet_d2.data.formats.jsonl."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.data.formats.opening import open_dataset, open_splits
from vfnet_d2.data.formats.paths import local_name

LABEL = {"label": "can", "topX": 0.1, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6}
DETAILS = {"format": "jpg", "width": "200px", "height": "100px"}


def line(url: str = "a.jpg", *labels: dict[str, Any], **more: Any) -> str:
    return json.dumps({"image_url": url, "label": labels or [LABEL], **more}) + "\n"


def test_a_box_by_hand(tmp_path: Path) -> None:
    # 0.1 * 200, 0.2 * 100, 0.5 * 200, 0.6 * 100
    write_files(tmp_path, {"train.jsonl": line(image_details=DETAILS)})
    records, findings = read(open_dataset(tmp_path))
    assert findings == []
    assert boxes_of(records) == [[(20.0, 20.0, 100.0, 60.0)]]
    assert (records[0].width, records[0].height) == (200, 100)


@pytest.mark.parametrize("details", [None, {}, {"width": None}, {"format": "jpg", "width": "2"}])
def test_without_both_sides_the_size_is_read(tmp_path: Path, details: Any) -> None:
    save_image(tmp_path / "a.jpg", size=(30, 20))
    write_files(tmp_path, {"train.jsonl": line(image_details=details)})
    records, findings = read(open_dataset(tmp_path))
    assert findings == []
    assert (records[0].width, records[0].height) == (30, 20)


@pytest.mark.parametrize("width", ["499px", "499", 499, 499.0, " 499 PX "])
def test_ways_to_write_a_width(tmp_path: Path, width: Any) -> None:
    details = {"width": width, "height": 10}
    (item,), _ = read(open_dataset(write_files(tmp_path, {"a.jsonl": line(image_details=details)})))
    assert item.width == 499


@pytest.mark.parametrize(
    ("value", "crowd"),
    [(True, True), (1, True), ("true", True), ("False", False), (0, False), (None, False)],
)
def test_ways_to_write_a_crowd(tmp_path: Path, value: Any, crowd: bool) -> None:
    text = line("a.jpg", {**LABEL, "isCrowd": value}, image_details=DETAILS)
    (item,), _ = read(open_dataset(write_files(tmp_path, {"a.jsonl": text})))
    assert [a.iscrowd for a in item.annotations] == [crowd]


STORE = (
    "azureml://subscriptions/1/resourcegroups/2/workspaces/3/datastores/workspaceblobstore/paths/"
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"{STORE}fridge/images/31.jpg", "fridge/images/31.jpg"),
        ("AmlDatastore://workspaceblobstore/fridge/31.jpg", "fridge/31.jpg"),
        ("https://account.blob.core.windows.net/box/a%20b.jpg?sv=1", "box/a b.jpg"),
        ("./images/31.jpg", "./images/31.jpg"),
    ],
)
def test_the_path_in_a_url(url: str, name: str) -> None:
    assert local_name(url) == name


@pytest.mark.parametrize(
    "place", ["fridge/images/31.jpg", "images/31.jpg", "31.jpg", "images/fridge/images/31.jpg"]
)
def test_a_datastore_is_mapped_to_the_root(tmp_path: Path, place: str) -> None:
    save_image(tmp_path / "root" / place)
    write_files(tmp_path, {"train.jsonl": line(f"{STORE}fridge/images/31.jpg")})
    (item,), findings = read(open_dataset(tmp_path, root=tmp_path / "root"))
    assert findings == []
    assert Path(item.path) == tmp_path / "root" / place


def test_the_longest_end_of_the_path_wins(tmp_path: Path) -> None:
    for place in ("31.jpg", "fridge/31.jpg"):
        save_image(tmp_path / place)
    write_files(tmp_path, {"train.jsonl": line("AmlDatastore://store/fridge/31.jpg")})
    (item,), _ = read(open_dataset(tmp_path))
    assert Path(item.path) == tmp_path / "fridge" / "31.jpg"


def test_classes_are_sorted_over_all_splits(tmp_path: Path) -> None:
    text = {"train.jsonl": line("a.jpg", {**LABEL, "label": "water"}), "validation.jsonl": line()}
    readers = open_splits(write_files(tmp_path, text))
    assert list(readers) == ["train", "validation"]
    assert {reader.classes for reader in readers.values()} == {("can", "water")}
    assert open_dataset(tmp_path, split="val").split == "validation"


def test_blank_lines_count_but_are_no_images(tmp_path: Path) -> None:
    text = "\n" + line(image_details=DETAILS) + "\n"
    (item,), _ = read(open_dataset(write_files(tmp_path, {"a.jsonl": text})))
    assert item.where == "line 2"
