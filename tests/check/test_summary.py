"""Tests of vfnet_d2.check.summary."""

from pathlib import Path

import pytest

from tests.helpers.small_datasets import CLASSES, record
from vfnet_d2.check.across import Split
from vfnet_d2.check.summary import resized_sides, resized_text, summarise, summary_text
from vfnet_d2.data.formats.coco import CocoReader


def split() -> Split:
    """Five objects and a crowd in two of three images."""
    # COCO's bounds: 32 x 32 is medium and 96 x 96 large, below them small and medium.
    boxes = [(0, 0, 32, 31), (0, 0, 32, 32), (0, 0, 96, 95), (0, 0, 96, 96)]
    first = record(boxes=boxes, size=(200, 100))
    dog = first.annotations[0]._replace(class_index=1)
    second = record(boxes=[])._replace(annotations=(dog, dog._replace(iscrowd=True)))
    empty = record(boxes=[], size=(300, 200))
    return Split(CocoReader(Path("x.json"), classes=CLASSES), [first, second, empty], [], [])


def test_counts() -> None:
    counts = summarise(split())
    assert counts["classes"] == [
        {"name": "cat", "objects": 4, "images": 1, "small": 1, "medium": 2, "large": 1},
        {"name": "dog", "objects": 1, "images": 1, "small": 1, "medium": 0, "large": 0},
    ]
    assert (counts["images"], counts["images_without_objects"]) == (3, 1)
    assert (counts["objects"], counts["crowds"]) == (5, 1)
    assert (counts["smallest_image"], counts["largest_image"]) == ((100, 50), (300, 200))


def test_text() -> None:
    lines = summary_text("train", split()).splitlines()
    assert lines[0] == "train: x.json (coco)"
    assert lines[1] == (
        "3 images from 100 x 50 to 300 x 200 pixels, 1 without objects; "
        "5 objects of 2 classes, 1 crowd"
    )
    assert lines[3:5] == [
        "class      objects    images        small    medium         large",
        "                                < 32 x 32              >= 96 x 96",
    ]
    assert [line.split() for line in lines[6:8]] == [
        ["cat", "4", "1", "1", "2", "1"],
        ["dog", "1", "1", "1", "0", "0"],
    ]


def test_sides_after_resizing() -> None:
    # 2,000 x 1,600: the shorter side becomes 800, so everything is halved; 3,000 x 1,000: the
    # longer one may have 1,333 pixels, a factor of 0.4443.
    first = record(size=(2000, 1600), boxes=[(0, 0, 40, 10), (0, 0, 8, 8)])
    second = record(size=(3000, 1000), boxes=[(0, 0, 30, 30), (5, 5, 1, 1)])
    assert resized_sides([first, second]) == pytest.approx([4, 10, 30 * 1333 / 3000])
    crowd = first.annotations[0]._replace(iscrowd=True)
    assert resized_sides([first._replace(annotations=(crowd,), width=0)]) == []


def test_what_to_do_about_small_objects() -> None:
    # 5 of 10 objects have a side of 4 at 800, so 1,600 makes 8 of them.
    few = record(size=(800, 800), boxes=[(0, 0, 9, 9)] * 10)
    many = record(size=(800, 800), boxes=[(0, 0, 4, 4)] * 5 + [(0, 0, 50, 50)] * 5)
    assert "0% are below 8" in resized_text([few])
    assert "larger images" not in resized_text([few])
    assert "50% are below 8" in resized_text([many])
    assert "a shorter side of 1600 for nine in ten" in resized_text([many])
    assert resized_text([]) == ""
