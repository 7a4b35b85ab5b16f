"""Tests of ``vfnet data check``."""

import json
from pathlib import Path

import pytest

from tests.helpers.small_datasets import save_image, write_files
from vfnet_d2.cli.main import main

Capture = pytest.CaptureFixture[str]
GOOD = "0 0.5 0.5 0.2 0.2\n"


def dataset(folder: Path, labels: str = GOOD, *, size: tuple[int, int] = (100, 50)) -> Path:
    save_image(folder / "images" / "a.png", size=size)
    return write_files(
        folder, {"data.yaml": "train: images\nnames: [cat]\n", "labels/a.txt": labels}
    )


def check(*arguments: object) -> int:
    return main(["data", "check", *map(str, arguments)])


def test_a_good_dataset(tmp_path: Path, capsys: Capture) -> None:
    assert check(dataset(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'data.yaml'} (yolo)"
    assert lines[1] == "1 image of 100 x 50 pixels, 0 without objects; 1 object of 1 class"
    assert lines[-1] == "No problems found."


def test_errors_give_the_status_1(tmp_path: Path, capsys: Capture) -> None:
    assert check(dataset(tmp_path, GOOD + "3 0.5 0.5 0.2 0.2\n")) == 1
    text = capsys.readouterr().out
    assert "error unknown-class (once)" in text
    assert text.endswith("\n1 error.\n")


def test_warnings_give_the_status_0(tmp_path: Path, capsys: Capture) -> None:
    assert check(dataset(tmp_path, GOOD + GOOD)) == 0
    assert "1 warning; nothing that stops training." in capsys.readouterr().out


def test_a_validation_set_elsewhere(tmp_path: Path, capsys: Capture) -> None:
    train, val = dataset(tmp_path / "one"), dataset(tmp_path / "two")
    assert check(train, "--val", val) == 1
    assert "it is in train and val" in capsys.readouterr().out
    assert check(train, "--val", dataset(tmp_path / "three", size=(40, 40))) == 0


def test_json_has_counts_and_findings(tmp_path: Path) -> None:
    assert check(dataset(tmp_path / "data"), "--json", tmp_path / "report" / "x.json") == 0
    content = json.loads((tmp_path / "report" / "x.json").read_text())
    assert content["splits"]["dataset"]["classes"][0]["name"] == "cat"
    assert (content["errors"], content["findings"]) == (0, [])


def test_a_corrected_copy(tmp_path: Path, capsys: Capture) -> None:
    path = dataset(tmp_path / "data", GOOD + "0 0.5 0.5 0 0.2\n")
    assert check(path, "--fix", tmp_path / "fixed") == 0
    assert "changes.txt lists every change:\n  left out a box: 1\n" in capsys.readouterr().out
    assert check(tmp_path / "fixed", "--fix", tmp_path / "again") == 0
    assert "nothing needed correction" in capsys.readouterr().out


def test_a_copy_keeps_what_needs_a_decision_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    train, val = dataset(tmp_path / "one"), dataset(tmp_path / "two")
    assert check(train, "--val", val, "--fix", tmp_path / "fixed") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Left to you, since it needs a decision: image-in-two-splits (1)"
    assert check(tmp_path / "fixed") == 1


def test_two_classes_of_one_name_need_a_decision(tmp_path: Path, capsys: Capture) -> None:
    path = write_files(dataset(tmp_path / "data"), {"data.yaml": "train: images\nnames: [a, a]\n"})
    assert check(path, "--fix", tmp_path / "fixed") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Left to you, since it needs a decision: duplicate-class (1)"


@pytest.mark.parametrize("place", ["data", "data/fixed", "full"])
def test_a_copy_where_it_must_not_be(tmp_path: Path, capsys: Capture, place: str) -> None:
    path = dataset(tmp_path / "data")
    write_files(tmp_path / "full", {"mine.txt": "mine"})
    before = sorted(tmp_path.rglob("*"))
    assert check(path, "--fix", tmp_path / place) == 2
    assert "vfnet: error:" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures(tmp_path: Path, capsys: Capture) -> None:
    assert check(dataset(tmp_path / "data"), "--pictures", tmp_path / "pictures") == 0
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["box_sizes.png", "class_balance.png", "contact_sheet.png"]
    assert all(name in capsys.readouterr().out for name in names[-1:])


def test_a_format_and_a_root_may_be_named(tmp_path: Path, capsys: Capture) -> None:
    path = dataset(tmp_path / "data")
    assert check(path, "--format", "coco") == 2
    assert "does not look like a dataset. Expected\n  coco:" in capsys.readouterr().err
    assert check(path, "--format", "yolo", "--root", path) == 0


def test_names_that_are_no_unicode(tmp_path: Path, capsys: Capture) -> None:
    path = dataset(tmp_path / "data")
    write_files(path, {"data.yaml": 'train: images\nnames: ["\\ud800"]\n'})
    save_image(path / "images" / "b\udce4.png", size=(30, 30))
    write_files(path, {"labels/b\udce4.txt": "0 0.5 0.5 0 0.2\n"})
    assert check(path, "--json", tmp_path / "x.json", "--fix", tmp_path / "fixed") == 0
    assert "\\ud800" in capsys.readouterr().out
    assert "b\\udce4.png" in (tmp_path / "fixed" / "changes.txt").read_text(encoding="utf-8")
