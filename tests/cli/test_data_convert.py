"""Tests of ``vfnet data convert``."""

import json
from pathlib import Path

import pytest

from tests.helpers.reference import DATA
from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.cli.main import main
from vfnet_d2.data.formats.opening import FORMATS, open_dataset, open_splits

Capture = pytest.CaptureFixture[str]
# 0.2 * 100 = 20 pixels wide, 0.4 * 50 = 20 high, around (50, 25).
LABELS = "1 0.5 0.5 0.2 0.4\n"
BOX = (40, 15, 60, 35)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A dataset with a training and a validation set."""
    for split in ("train", "val"):
        save_image(tmp_path / "yolo" / "images" / split / f"{split}.png")
        write_files(tmp_path / "yolo", {f"labels/{split}/{split}.txt": LABELS})
    yaml = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
    return write_files(tmp_path / "yolo", {"data.yaml": yaml})


def convert(*arguments: object) -> int:
    return main(["data", "convert", *map(str, arguments)])


@pytest.mark.parametrize("name", FORMATS)
def test_to_every_format(yolo: Path, tmp_path: Path, name: str, capsys: Capture) -> None:
    assert convert(yolo, tmp_path / "new", "--to", name) == 0
    assert f"Wrote {tmp_path / 'new' / 'train'}: 1 image, 1 object" in capsys.readouterr().out
    readers = open_splits(tmp_path / "new")
    assert list(readers) == ["train", "val"]
    for reader in readers.values():
        records, findings = read(reader)
        assert findings == []
        assert (reader.name, reader.classes) == (name, ("cat", "dog"))
        assert boxes_of(records) == [[pytest.approx(BOX, abs=1e-5)]]
        assert all(Path(item.path).is_file() for item in records)


def test_one_split(yolo: Path, tmp_path: Path) -> None:
    assert convert(yolo, tmp_path / "new", "--split", "val") == 0
    (item,), _ = read(open_dataset(tmp_path / "new"))
    assert Path(item.path).name == "val.png"


def test_the_json_alone(yolo: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "new" / "val.json"
    assert convert(yolo, file, "--split", "val") == 0
    assert f"file names are relative to {yolo}" in capsys.readouterr().out
    assert [path.name for path in file.parent.iterdir()] == ["val.json"]
    (entry,) = json.loads(file.read_text())["images"]
    assert (yolo / entry["file_name"]).samefile(yolo / "images" / "val" / "val.png")
    (item,), _ = read(open_dataset(file, root=yolo))
    assert [a.class_index for a in item.annotations] == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new.json"], "has several splits: name one with --split"),
        (["new.json", "--split", "val", "--to", "voc"], "but --to voc is asked for"),
        (["new", "--split", "test"], "no split 'test'; there are: train, val"),
    ],
)
def test_mistakes(
    yolo: Path, tmp_path: Path, arguments: list[str], message: str, capsys: Capture
) -> None:
    output, *rest = arguments
    assert convert(yolo, tmp_path / output, *rest) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["yolo"]


def test_a_dataset_with_errors_is_refused(yolo: Path, tmp_path: Path, capsys: Capture) -> None:
    write_files(yolo, {"labels/val/val.txt": "7 0.5 0.5 0.2 0.4\n"})
    assert convert(yolo, tmp_path / "new") == 1
    errors = capsys.readouterr().err
    assert "error unknown-class" in errors and "Nothing was written" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["yolo"]


@pytest.mark.parametrize("name", ["exif_swaps_sides", "coco_wrong_size", "coco_missing_image"])
def test_images_that_are_not_as_recorded_are_refused(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    # Boxes as parts of the size would be elsewhere in the copy.
    assert convert(DATA / "broken" / name / "data", tmp_path / "new", "--to", "yolo") == 1
    assert "Nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_unreadable_image_is_named(yolo: Path, tmp_path: Path, capsys: Capture) -> None:
    image = yolo / "images" / "val" / "val.png"
    image.write_text("no image")
    assert convert(yolo, tmp_path / "new") == 2
    assert f"the size of {image} is unknown" in capsys.readouterr().err
