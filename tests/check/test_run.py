"""Tests of vfnet_d2.check.run."""

from pathlib import Path

import pytest

from tests.helpers.log_lines import log_lines
from tests.helpers.small_datasets import save_image, write_files
from vfnet_d2.check.run import DatasetError, check_dataset, quick_check
from vfnet_d2.data.formats.opening import open_splits

YAML = "train: images\nnames: [cat]\n"


def dataset(folder: Path, labels: str) -> Path:
    save_image(folder / "images" / "a.png")
    return write_files(folder, {"data.yaml": YAML, "labels/a.txt": labels})


def test_a_good_dataset(tmp_path: Path) -> None:
    report = check_dataset(open_splits(dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n")))
    assert report.findings == []
    assert [len(split.records) for split in report.splits.values()] == [1]


def test_the_dataset_is_not_touched(tmp_path: Path) -> None:
    dataset(tmp_path, "0 0.9 0.5 0.6 nan\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    check_dataset(open_splits(tmp_path))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_findings_of_a_shared_file_are_told_once(tmp_path: Path) -> None:
    path = dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n")
    save_image(path / "val" / "b.png", size=(30, 30))
    write_files(path, {"data.yaml": "train: images\nval: val\nnc: 5\nnames: [cat]\n"})
    codes = [finding.code for finding in check_dataset(open_splits(path)).findings]
    assert codes.count("malformed-annotations") == 1


def test_training_stops_on_errors(tmp_path: Path) -> None:
    path = dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DatasetError) as error:
        quick_check(open_splits(path))
    message = str(error.value)
    assert f"the dataset {path / 'data.yaml'} has 1 error" in message
    assert "a.txt, line 2: class index 1, expected 0 to 0" in message
    assert "-> Add the class to the list" in message


def test_training_goes_on_after_warnings(tmp_path: Path) -> None:
    path = dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0 0.2\n")
    with log_lines("vfnet_d2.check.run") as lines:
        report = quick_check(open_splits(path))
    assert [finding.code for finding in report.findings] == ["box-without-area"]
    assert "warning box-without-area (once)" in lines[0]


def test_the_quick_check_reads_headers_alone(tmp_path: Path) -> None:
    path = dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n")
    image = path / "images" / "a.png"
    image.write_bytes(image.read_bytes()[:-40])
    assert quick_check(open_splits(path)).findings == []
    assert [f.code for f in check_dataset(open_splits(path)).errors] == ["truncated-image"]


def test_the_quick_check_sees_shared_files(tmp_path: Path) -> None:
    path = dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n")
    write_files(path, {"data.yaml": "train: images\nval: images\nnames: [cat]\n"})
    with pytest.raises(DatasetError, match="it is in train and val"):
        quick_check(open_splits(path))
