"""Tests of vfnet_d2.data.formats.values: one table, and every format reads by it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.data.datasets import load_coco_json

from tests.helpers.small_datasets import boxes_of, read, save_image
from vfnet_d2.data.formats.opening import open_dataset
from vfnet_d2.data.formats.values import Notes, as_flag, as_id, as_name, as_number, as_size


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3.0), (0.5, 0.5), (10**400, float("inf")), ("3", 3.0), (" -.5 ", -0.5), ("1e3", 1e3)],
)
def test_numbers(value: object, number: float) -> None:
    assert as_number(value) == number


@pytest.mark.parametrize(
    "value", [True, "1_000", "0,5", "0x10", "٣", "", "two", "1 2", None, [3], {}]
)
def test_what_is_no_number(value: object) -> None:
    assert as_number(value) is None


@pytest.mark.parametrize(
    "value", [0, -3, 2.5, "0x10", "12 cm", "-5", "", None, True, float("nan"), 10**12, "²"]
)
def test_what_is_no_size(value: object) -> None:
    assert as_size(value) is None


FLAGS = [("0", False), ("1", True), ("false", False), ("True", True), (" NO ", False), ("", False)]
FLAGS += [("0.0", False), ("y", True)]
AMBIGUOUS = ["maybe", "2", "-1", "nan", "0,0", "01x"]


@pytest.mark.parametrize(
    ("value", "flag"), [*FLAGS, (None, False), (True, True), (0.0, False), (1, True)]
)
def test_flags(value: object, flag: bool) -> None:
    assert as_flag(value) is flag


@pytest.mark.parametrize("value", [*AMBIGUOUS, 2, -1, float("nan"), [], [1], {}])
def test_what_is_no_flag(value: object) -> None:
    assert as_flag(value) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        (" 007 ", 7),
        ("7.0", 7),
        ("img_7", "img_7"),
        ("1e3", "1e3"),
        ("7.5", "7.5"),
        ("9" * 5000, "9" * 5000),
        (7.5, None),
        (float("nan"), None),
        (True, None),
        ("", None),
        (None, None),
        ([7], None),
    ],
)
def test_ids(value: object, found: object) -> None:
    assert as_id(value) == found
    assert type(as_id(value)) is type(found)


@pytest.mark.parametrize(
    ("value", "name"),
    [(" cat ", "cat"), ("e\u0301", "\u00e9"), (7, "7"), (0.5, "0.5"), (True, None), ("  ", None)],
)
def test_names(value: object, name: str | None) -> None:
    assert as_name(value) == name


def test_equal_cases_become_one_finding() -> None:
    notes = Notes()
    for number in range(3):
        notes.add("converted-value", "a.json", f"read {number}", f"line {number}", kind="read")
    notes.add("converted-value", "a.json", "other", "line 9")
    assert [str(finding) for finding in notes.findings()] == [
        "a.json, line 0: read 0 (3 times, this is the first)",
        "a.json, line 9: other",
    ]


# -- every format: an image of 100 x 50 pixels with an object from (20, 10) to (60, 40)


def _coco(folder: Path, **values: Any) -> None:
    """COCO JSON as other tools write it."""
    name, flag, number = (values[key] for key in ("name", "flag", "number"))
    box = {"bbox": [number("20"), number("10"), number("40"), number("30")], "area": 1200}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": flag, **box}],
        "categories": [{"id": 1, "name": name}],
    }
    (folder / "a.json").write_text(json.dumps(content))


def _voc(folder: Path, **values: Any) -> None:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), ("21", "11", "60", "40"), strict=True)
    box = "".join(f"<{tag}>{values['number'](v)}</{tag}>" for tag, v in corners)
    (folder / "a.xml").write_text(
        f"<annotation><filename>a.jpg</filename><object><name>{values['name']}</name>"
        f"<difficult>{values['flag']}</difficult><bndbox>{box}</bndbox></object></annotation>"
    )


def _jsonl(folder: Path, **values: Any) -> None:
    corners = zip(("topX", "topY", "bottomX", "bottomY"), ("0.2", "0.2", "0.6", "0.8"), strict=True)
    label = {"label": values["name"], "isCrowd": values["flag"]}
    label |= {tag: values["number"](v) for tag, v in corners}
    (folder / "a.jsonl").write_text(json.dumps({"image_url": "a.jpg", "label": [label]}))


def _yolo(folder: Path, **values: Any) -> None:
    (folder / "data.yaml").write_text(f"train: .\nnames: ['{values['name']}']\n")
    numbers = " ".join(values["number"](v).strip() for v in ("0.4", "0.5", "0.4", "0.6"))
    (folder / "a.txt").write_text(f"0 {numbers}\n")


FORMATS: dict[str, Callable[..., None]] = {"coco": _coco, "voc": _voc, "jsonl": _jsonl}
ALL = FORMATS | {"yolo": _yolo}


def dataset(
    folder: Path,
    write: Callable[..., None],
    *,
    name: Any = "cup",
    flag: Any = "0",
    number: Callable[[str], Any] = str,
) -> Path:
    save_image(folder / "a.jpg")
    write(folder, name=name, flag=flag, number=number)
    return folder


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(("flag", "crowd"), FLAGS)
def test_every_format_reads_flags(tmp_path: Path, write: Any, flag: str, crowd: bool) -> None:
    (item,), findings = read(open_dataset(dataset(tmp_path, write, flag=flag)))
    assert [a.iscrowd for a in item.annotations] == [crowd]
    assert all(finding.severity == "warning" for finding in findings)


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("flag", AMBIGUOUS)
def test_every_format_refuses_ambiguous_flags(tmp_path: Path, write: Any, flag: str) -> None:
    (item,), findings = read(open_dataset(dataset(tmp_path, write, flag=flag)))
    assert item.annotations == ()
    (problem,) = [finding for finding in findings if finding.severity == "error"]
    assert problem.code == "malformed-object"
    assert repr(flag) in problem.cause
    assert problem.where


@pytest.mark.parametrize("write", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "spell",
    [str, "{} ".format, "+{}".format, "{}e0".format],
    ids=["plain", "blank", "sign", "exponent"],
)
def test_every_format_reads_numbers(tmp_path: Path, write: Any, spell: Any) -> None:
    records, _ = read(open_dataset(dataset(tmp_path, write, number=spell)))
    assert boxes_of(records) == [[pytest.approx((20, 10, 60, 40))]]


@pytest.mark.parametrize("write", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "spell", ["{}_0".format, "{},0".format, "{}px".format], ids=["underscore", "comma", "unit"]
)
def test_every_format_refuses_other_text(tmp_path: Path, write: Any, spell: Any) -> None:
    (item,), findings = read(open_dataset(dataset(tmp_path, write, number=spell)))
    assert item.annotations == ()
    assert "malformed-object" in [finding.code for finding in findings]


@pytest.mark.parametrize("write", ALL.values(), ids=ALL)
@pytest.mark.parametrize("spelling", ["cafe\u0301", " caf\u00e9 "])
def test_every_format_normalises_names(tmp_path: Path, write: Any, spelling: str) -> None:
    reader = open_dataset(dataset(tmp_path, write, name=spelling))
    (item,), _ = read(reader)
    assert reader.classes == ("caf\u00e9",)
    assert [a.class_index for a in item.annotations] == [0]


@pytest.mark.parametrize("make", [float, str, "img_{}".format], ids=["float", "digits", "text"])
def test_ids_of_other_tools_are_read_as_detectron2_reads_them(tmp_path: Path, make: Any) -> None:
    dataset(tmp_path, _coco, flag=0, number=float)
    file = tmp_path / "a.json"
    content = json.loads(file.read_text())
    content["images"][0]["id"] = make(1)
    content["categories"][0]["id"] = make(1)
    content["annotations"][0] |= {"image_id": make(1), "category_id": make(1), "id": make(1)}
    file.write_text(json.dumps(content))
    (expected,) = load_coco_json(str(file), str(tmp_path), f"ids_{tmp_path.name}")
    (item,), findings = read(open_dataset(file))
    x, y, w, h = expected["annotations"][0]["bbox"]
    assert boxes_of([item]) == [[(x, y, x + w, y + h)]]
    assert all(finding.severity == "warning" for finding in findings)


def test_a_missing_value_is_said_with_the_place(tmp_path: Path) -> None:
    dataset(tmp_path, _coco, flag=None, number=float)
    _, (finding,) = read(open_dataset(tmp_path))
    assert (finding.code, finding.where) == ("missing-value", "annotation 1")
    assert finding.cause == "no iscrowd: taken to be no crowd, and of the area of its box"


def test_a_polygon_takes_the_place_of_a_missing_box(tmp_path: Path) -> None:
    dataset(tmp_path, _coco, flag=0)
    file = tmp_path / "a.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= {"bbox": "null", "segmentation": [[20, 10, 60, 10, 60, 40]]}
    file.write_text(json.dumps(content))
    records, findings = read(open_dataset(tmp_path))
    assert boxes_of(records) == [[(20, 10, 60, 40)]]
    assert [finding.code for finding in findings] == ["missing-value"]
