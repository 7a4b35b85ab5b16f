"""Tests of vfnet_d2.data.formats.yolo_lines: what the numbers of a YOLO line are."""

import random
from pathlib import Path

import pytest

from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.opening import open_dataset

Row = list[float]
BOXES = [(0.2, 0.3, 0.1, 0.2), (0.7, 0.6, 0.3, 0.4), (0.5, 0.85, 0.2, 0.2), (0.8, 0.2, 0.3, 0.1)]


def keypoints(count: int, dims: int) -> list[Row]:
    """Boxes with points at random places inside; the third number of a point is 0, 1 or 2."""
    chance = random.Random(count * dims)
    rows = []
    for cx, cy, w, h in BOXES:
        row = [cx, cy, w, h]
        for _ in range(count):
            row += [cx + w * chance.uniform(-0.5, 0.5), cy + h * chance.uniform(-0.5, 0.5)]
            row += [float(chance.randrange(1, 3))] if dims == 3 else []
        rows.append(row)
    return rows


def oriented() -> list[Row]:
    """Diamonds around the boxes' centres."""
    return [[x, y - h / 2, x + w / 2, y, x, y + h / 2, x - w / 2, y] for x, y, w, h in BOXES]


def polygons() -> list[Row]:
    """Polygons of 3 to 6 corners in the boxes, which touch all four sides."""
    corners = [(-0.5, -0.5), (0.5, -0.4), (0.4, 0.5), (0.0, 0.3), (-0.2, 0.1), (-0.3, 0.0)]
    return [
        [v for dx, dy in corners[:count] for v in (x + w * dx, y + h * dy)]
        for count, (x, y, w, h) in zip((3, 4, 5, 6), BOXES, strict=True)
    ]


def found(folder: Path, rows: list[Row], yaml: str = "") -> tuple[list[Row], list[Finding]]:
    """The boxes read, as parts of the image, of a dataset with a line in each label file."""
    for number, row in enumerate(rows):
        save_image(folder / "images" / f"{number}.jpg", size=(1000, 1000))
        text = "0 " + " ".join(f"{value:.6g}" for value in row) + "\n"
        write_files(folder, {f"labels/{number}.txt": text})
    write_files(folder, {"data.yaml": f"train: images\nnames: [a]\n{yaml}"})
    records, findings = read(open_dataset(folder))
    return [[v / 1000 for v in box] for boxes in boxes_of(records) for box in boxes], findings


def corners(row: Row) -> Row:
    cx, cy, w, h = row[:4]
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def around(row: Row) -> Row:
    xs, ys = row[0::2], row[1::2]
    return [min(xs), min(ys), max(xs), max(ys)]


def near(rows: list[Row]) -> list[object]:
    return [pytest.approx(row, abs=1e-5) for row in rows]  # the six digits of the files


@pytest.mark.parametrize(("count", "dims"), [(1, 2), (2, 2), (17, 2), (1, 3), (2, 3), (17, 3)])
def test_with_kpt_shape_the_box_is_read(tmp_path: Path, count: int, dims: int) -> None:
    rows = keypoints(count, dims)
    boxes, findings = found(tmp_path, rows, f"kpt_shape: [{count}, {dims}]\n")
    assert boxes == near([corners(row) for row in rows])
    assert [finding.code for finding in findings] == ["ignored-numbers"]
    assert "(4 times" in findings[0].cause


@pytest.mark.parametrize("wrong", [(2, 2), (17, 3)])
def test_a_length_that_kpt_shape_denies_is_refused(tmp_path: Path, wrong: tuple[int, int]) -> None:
    boxes, findings = found(tmp_path, keypoints(*wrong), "kpt_shape: [3, 2]\n")
    assert boxes == []
    assert {finding.code for finding in findings} == {"malformed-object"}
    assert "kpt_shape [3, 2]: 4 or 10 numbers after the class" in findings[0].cause


def test_kpt_shape_of_another_kind_is_said(tmp_path: Path) -> None:
    _, findings = found(tmp_path, [list(BOXES[0])], "kpt_shape: 17\n")
    assert [(f.code, f.where) for f in findings] == [("malformed-annotations", "kpt_shape")]


@pytest.mark.parametrize("count", [1, 2, 4, 17])
def test_visibilities_tell_keypoints(tmp_path: Path, count: int) -> None:
    rows = keypoints(count, 3)
    boxes, findings = found(tmp_path, rows)
    assert boxes == near([corners(row) for row in rows])
    assert [finding.code for finding in findings] == ["ignored-numbers"]


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_keypoints_are_never_read_as_polygons(tmp_path: Path, count: int) -> None:
    boxes, findings = found(tmp_path, keypoints(count, 2))
    assert boxes == []
    assert {finding.code for finding in findings} == {"ambiguous-labels"}
    assert all("kpt_shape" in f.cause and f.where == "line 1" for f in findings)


def test_one_damaged_line_does_not_make_keypoints_polygons(tmp_path: Path) -> None:
    rows = keypoints(1, 2) * 3
    rows[-1] = [*rows[-1], 0.5, 0.5]
    boxes, _ = found(tmp_path, rows)
    assert boxes == []


@pytest.mark.parametrize("make", [polygons, oriented])
def test_polygons_and_oriented_boxes_become_boxes(tmp_path: Path, make: object) -> None:
    rows = polygons() if make is polygons else oriented()
    boxes, findings = found(tmp_path, rows)
    assert boxes == near([around(row) for row in rows])
    assert findings == []


@pytest.mark.parametrize("task", ["segment", "obb"])
def test_task_decides(tmp_path: Path, task: str) -> None:
    rows = keypoints(1, 2)
    boxes, findings = found(tmp_path, rows, f"task: {task}\n")
    assert boxes == near([around(row) for row in rows])
    assert findings == []


def test_a_box_with_confidence(tmp_path: Path) -> None:
    rows = [[*box, 0.9] for box in BOXES]
    boxes, findings = found(tmp_path, rows)
    assert boxes == near([corners(row) for row in rows])
    assert [finding.code for finding in findings] == ["ignored-numbers"]


@pytest.mark.parametrize(
    "row",
    [
        [0.2, 0.3, 0.1, 0.2, 7],
        [0.9, 0.2, 0.8, 0.3, 0.1],
        [0.1, 0.9, 0.5, 0.1, 0.5, 0.5, 0.1],
        [0.1] * 9,
    ],
)
def test_other_lines_are_refused(tmp_path: Path, row: Row) -> None:
    boxes, findings = found(tmp_path, [row])
    assert boxes == []
    assert [(f.code, f.where) for f in findings] == [("malformed-object", "line 1")]
