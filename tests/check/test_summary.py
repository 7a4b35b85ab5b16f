"""Tests of vfnet_d2.check.summary."""

from pathlib import Path

from tests.helpers.small_datasets import CLASSES, record
from vfnet_d2.check.across import Split
from vfnet_d2.check.summary import summarise, summary_text
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
    assert [line.split() for line in lines[-2:]] == [
        ["cat", "4", "1", "1", "2", "1"],
        ["dog", "1", "1", "1", "0", "0"],
    ]
