"""Tests of vfnet_d2.data.formats.yolo and yolo_yaml."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.data.formats.opening import open_dataset, open_splits
from vfnet_d2.data.formats.yolo_lines import label_file

YAML = "train: images\nnames: [cat, dog]\n"


def dataset(folder: Path, labels: str, *, yaml: str = YAML, **image: Any) -> Path:
    """One image a.jpg of 100 x 50 pixels with these labels."""
    save_image(folder / "images" / "a.jpg", **image)
    return write_files(folder, {"data.yaml": yaml, "labels/a.txt": labels})


def test_a_box_by_hand(tmp_path: Path) -> None:
    # Centre (0.5 * 100, 0.4 * 50) = (50, 20), sides 0.2 * 100 = 20 and 0.4 * 50 = 20.
    records, findings = read(open_dataset(dataset(tmp_path, "1 0.5 0.4 0.2 0.4\n")))
    assert findings == []
    assert boxes_of(records) == [[(40.0, pytest.approx(10.0), 60.0, pytest.approx(30.0))]]
    assert records[0].annotations[0].class_index == 1
    assert records[0].annotations[0].area == pytest.approx(400)


def test_a_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    records, _ = read(open_dataset(dataset(tmp_path, "0 0.2 0.2 0.6 0.4 0.3 0.8\n")))
    assert boxes_of(records) == [[pytest.approx((20, 10, 60, 40))]]


def test_sizes_are_those_of_the_upright_image(tmp_path: Path) -> None:
    # Stored as 100 x 50, upright 50 x 100.
    path = dataset(tmp_path, "0 0.5 0.5 1 1\n", orientation=6)
    records, _ = read(open_dataset(path))
    assert (records[0].width, records[0].height) == (50, 100)
    assert boxes_of(records) == [[(0.0, 0.0, 50.0, 100.0)]]


def test_classes_may_be_numbered_and_written_as_floats(tmp_path: Path) -> None:
    path = dataset(tmp_path, "1.0 0.5 0.5 0.2 0.2", yaml="train: images\nnames:\n 1: b\n 0: a\n")
    reader = open_dataset(path)
    (item,), _ = read(reader)
    assert reader.classes == ("a", "b")
    assert item.annotations[0].class_index == 1


def test_an_image_without_labels_has_no_objects(tmp_path: Path) -> None:
    save_image(dataset(tmp_path, "\n") / "images" / "b.jpg")
    records, findings = read(open_dataset(tmp_path))
    assert [len(item.annotations) for item in records] == [0, 0]
    assert findings == []


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("d/images/a.jpg", "d/labels/a.txt"),
        ("d/images/train/a.b.png", "d/labels/train/a.b.txt"),
        ("images/d/images/a.jpg", "images/d/labels/a.txt"),
        ("d/pictures/a.jpg", "d/pictures/a.txt"),
    ],
)
def test_where_labels_stand(image: str, label: str) -> None:
    assert label_file(Path(image)) == Path(label)


@pytest.mark.parametrize(
    ("yaml", "place"),
    [
        ("train: images/train\n", "images/train"),
        ("path: sub\ntrain: images\n", "sub/images"),
        ("train: ../train/images\n", "train/images"),
        ("train: [day, night]\n", "night"),
        ("train: list.txt\n", "elsewhere"),
        ("path: /content/somewhere\ntrain: images\n", "images"),
        ("train: .\\images\n", "images"),
    ],
)
def test_where_images_stand(tmp_path: Path, yaml: str, place: str) -> None:
    files = {"data.yaml": f"{yaml}names: [cat]\n", "list.txt": "./elsewhere/a.jpg\n"}
    write_files(tmp_path, {**files, "day/readme": ""})
    save_image(tmp_path / place / "a.jpg")
    records, _ = read(open_dataset(tmp_path))
    assert [Path(item.path) for item in records] == [tmp_path / place / "a.jpg"]


def test_another_root_may_be_named(tmp_path: Path) -> None:
    save_image(tmp_path / "data" / "images" / "a.jpg")
    write_files(tmp_path, {"here/data.yaml": "path: ../data\ntrain: images\nnames: [cat]\n"})
    _, refused = read(open_dataset(tmp_path / "here"))
    assert "moved-dataset" in [finding.code for finding in refused]
    records, findings = read(open_dataset(tmp_path / "here", root=tmp_path))
    assert findings == []
    assert [Path(item.path) for item in records] == [tmp_path / "data" / "images" / "a.jpg"]


def test_splits_of_the_yaml(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        save_image(tmp_path / name / "images" / f"{name}.jpg")
    yaml = "train: train/images\nval: valid/images\ntest:\nnames: [cat]\n"
    write_files(tmp_path, {"data.yaml": yaml})
    readers = open_splits(tmp_path / "data.yaml")
    assert list(readers) == ["train", "val"]
    ((item,), _) = read(readers["val"])
    assert Path(item.path).name == "valid.jpg"


def test_a_folder_without_yaml_takes_names_from_classes_txt(tmp_path: Path) -> None:
    (dataset(tmp_path, "1 0.5 0.5 0.1 0.1\n") / "data.yaml").unlink()
    assert open_dataset(tmp_path).classes == ("class_0", "class_1")
    write_files(tmp_path, {"classes.txt": "cat\ndog\n"})
    assert open_dataset(tmp_path).classes == ("cat", "dog")


def test_a_given_class_list_decides_the_indices(tmp_path: Path) -> None:
    path = dataset(tmp_path, "0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    (item,), findings = read(open_dataset(path, classes=["cow", "dog"]))
    assert [a.class_index for a in item.annotations] == [1]
    assert [finding.cause for finding in findings] == ["class 'cat' is not one of: cow, dog"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[yes, no, unsure]", ("yes", "no", "unsure")),
        ("[on, off, y]", ("on", "off", "y")),
        ("[01, 010, 08]", ("01", "010", "08")),
        ("[1_000, 12:30, 1e3]", ("1_000", "12:30", "1e3")),
        ("[null, ~, .inf]", ("null", "~", ".inf")),
        ("[2024-01-01, 0x10, 1.50]", ("2024-01-01", "0x10", "1.50")),
        ("{1: no, 0: yes, 2: '010'}", ("yes", "no", "010")),
        ("{'0': a, '2': c, '1': b}", ("a", "b", "c")),
        ("[\"yes\", 'no', plain]", ("yes", "no", "plain")),
    ],
)
def test_class_names_are_as_they_are_written(
    names: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    # YAML 1.1 makes True, 8 and 750 of yes, 010 and 12:30.
    path = dataset(tmp_path, "2 0.5 0.5 0.2 0.2\n", yaml=f"train: images\nnc: 3\nnames: {names}\n")
    reader = open_dataset(path)
    assert reader.classes == expected
    assert read(reader)[1] == []


@pytest.mark.parametrize(
    ("names", "entry"), [("[a, '', c]", "name 1"), ("{0: a, 1: [b]}", "name 1")]
)
def test_a_name_that_is_none_is_named(names: str, entry: str, tmp_path: Path) -> None:
    path = dataset(tmp_path, "", yaml=f"train: images\nnames: {names}\n")
    _, findings = read(open_dataset(path))
    assert any(entry in finding.cause for finding in findings), findings
