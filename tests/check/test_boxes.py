"""Tests of vfnet_d2.check.boxes."""

import math

import pytest

from tests.helpers.small_datasets import record
from vfnet_d2.check.boxes import box_findings, clip_box

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("box", "code"),
    [
        ((0, 0, 100, 50), None),
        ((NAN, 0, 10, 10), "box-not-finite"),
        ((0, 0, INF, 10), "box-not-finite"),
        ((0, -INF, 10, 10), "box-not-finite"),
        ((20, 0, 10, 10), "box-inverted"),
        ((0, 20, 10, 10), "box-inverted"),
        ((10, 0, 10, 10), "box-without-area"),
        ((0, 10, 10, 10), "box-without-area"),
        ((100, 0, 120, 10), "box-off-image"),
        ((0, 50, 10, 60), "box-off-image"),
        ((-9, 0, 0, 10), "box-off-image"),
        ((0, -9, 10, 0), "box-off-image"),
        ((-1, -1, 101, 51), None),  # one pixel is the tolerance
        ((-1.01, 0, 10, 10), "box-outside-image"),
        ((0, -1.01, 10, 10), "box-outside-image"),
        ((0, 0, 101.01, 10), "box-outside-image"),
        ((0, 0, 10, 51.01), "box-outside-image"),
    ],
)
def test_what_is_wrong_with_a_box(box: tuple[float, float, float, float], code: str | None) -> None:
    # The image has 100 x 50 pixels.
    found = [finding.code for finding in box_findings(record(boxes=[box]))]
    assert found == ([] if code is None else [code])


def test_without_a_size_boxes_are_not_outside() -> None:
    assert list(box_findings(record(size=(0, 0), boxes=[(500, 500, 600, 600)]))) == []


def test_place_and_cause() -> None:
    (finding,) = box_findings(record("x/a.png", boxes=[(1, 2, 3, 4), (90, 10, 120, 20)]))
    assert str(finding) == (
        "a.json, annotation 2: box (90, 10, 120, 20) in a.png of 100 x 50 pixels reaches 20 pixels "
        "beyond the image"
    )


def test_a_line_of_a_file_is_part_of_the_place() -> None:
    (finding,) = box_findings(record(boxes=[(3, 3, 3, 3)], where="line 8"))
    assert finding.place == "a.json, line 8, annotation 1"


def test_the_same_box_of_another_class_is_no_copy() -> None:
    item = record(boxes=[(1, 2, 3, 4)] * 3)
    first, second, third = item.annotations
    item = item._replace(annotations=(first, second._replace(class_index=1), third))
    assert [finding.where for finding in box_findings(item)] == ["annotation 3"]


def test_clipping() -> None:
    assert clip_box((-5, 10, 120, 60), 100, 50) == (0, 10, 100, 50)
