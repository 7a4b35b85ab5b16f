"""Tests of vfnet_d2.data.formats.opening."""

from pathlib import Path

import pytest

from tests.helpers.small_datasets import write_files
from vfnet_d2.data.formats.opening import FORMATS, open_dataset, open_splits
from vfnet_d2.data.formats.reader import FormatError

EMPTY = {"images": [], "annotations": [], "categories": []}
FILES = {
    "coco": {"annotations.json": EMPTY},
    "voc": {"Annotations/a.xml": "<annotation/>"},
    "yolo": {"data.yaml": "names: []"},
    "jsonl": {"train.jsonl": ""},
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_found_by_looking(tmp_path: Path, name: str) -> None:
    assert open_dataset(write_files(tmp_path, FILES[name])).name == name


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_may_be_named(tmp_path: Path, name: str) -> None:
    for files in FILES.values():
        write_files(tmp_path, files)
    with pytest.raises(FormatError, match="--format"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, format_name=name).name == name


@pytest.mark.parametrize("name", FORMATS)
def test_folders_named_after_splits(tmp_path: Path, name: str) -> None:
    for split in ("train", "valid", "other"):
        write_files(tmp_path / split, FILES[name])
    assert list(open_splits(tmp_path)) == ["train", "valid"]


def test_the_training_set_comes_first(tmp_path: Path) -> None:
    readers = open_splits(write_files(tmp_path, {"a_val.json": EMPTY, "train_b.json": EMPTY}))
    assert list(readers) == ["train_b", "a_val"]


@pytest.mark.parametrize("wanted", ["test", "tra"])
def test_a_split_that_is_not_there(tmp_path: Path, wanted: str) -> None:
    write_files(tmp_path, {"trab.json": EMPTY, "tra_c.json": EMPTY, "val.json": EMPTY})
    with pytest.raises(FormatError, match=f"{wanted}.*its splits are: .*val"):
        open_dataset(tmp_path, split=wanted)


def test_several_splits_without_a_training_set(tmp_path: Path) -> None:
    write_files(tmp_path, {"one.json": EMPTY, "two.json": EMPTY})
    with pytest.raises(FormatError, match="which split to take; its splits are: one, two"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "nowhere"}, "nowhere does not exist"),
        ({"root": "nowhere"}, "the folder of images .*nowhere does not exist"),
        ({"format_name": "csv"}, "no format 'csv'; there are coco, voc, yolo, jsonl"),
    ],
)
def test_mistakes_of_the_caller(tmp_path: Path, options: dict[str, str], message: str) -> None:
    write_files(tmp_path, FILES["coco"])
    options = {k: str(tmp_path / v) if k != "format_name" else v for k, v in options.items()}
    with pytest.raises(FormatError, match=message):
        open_dataset(options.pop("path", str(tmp_path)), **options)
