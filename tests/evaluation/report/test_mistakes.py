"""Tests of vfnet_d2.evaluation.report.mistakes."""

import pytest

from tests.helpers.report_data import make_data
from vfnet_d2.evaluation.report.errors import find_errors
from vfnet_d2.evaluation.report.matching import match
from vfnet_d2.evaluation.report.mistakes import largest_misses, worst_false_positives

BOX, FAR = (10, 10, 20, 20), (60, 60, 20, 20)
DATA = make_data(
    [(1, 0, BOX, 0), (2, 1, FAR, 0), (2, 2, (0, 0, 50, 50), 0), (2, 3, (0, 0, 90, 90), 1)],
    [
        (1, 0, BOX, 0.4),
        (2, 0, (60, 60, 20, 8), 0.8),  # 20 x 8 of 20 x 20 pixels on the dog
        (1, 1, (80, 0, 10, 10), 0.9),  # on nothing
        (2, 0, (0, 60, 5, 5), 0.1),
    ],
    images=2,
)
MATCHING = match(DATA)


def test_false_positives_from_the_highest_score_down() -> None:
    found = worst_false_positives(DATA, MATCHING, find_errors(DATA, MATCHING), count=2)
    assert [entry["score"] for entry in found] == [0.9, 0.8]
    assert found[0] == {
        "image_id": 1,
        "file_name": "1.png",
        "class": "dog",
        "box": [80, 0, 10, 10],
        "score": 0.9,
        "kind": "background",
        "nearest": None,
    }
    assert found[1]["kind"] == "both"
    assert found[1]["nearest"] == {"class": "dog", "box": list(FAR), "iou": pytest.approx(0.4)}


def test_misses_from_the_largest_down_without_crowds() -> None:
    found = largest_misses(DATA, MATCHING, count=9, score_thresh=0.3)
    assert [(entry["class"], entry["area"]) for entry in found] == [("cow", 2500), ("dog", 400)]


def test_an_object_found_below_the_threshold_is_missed_and_told() -> None:
    found = largest_misses(DATA, MATCHING, count=9, score_thresh=0.5)
    assert [(entry["class"], entry["found_below"]) for entry in found] == [
        ("cow", None),
        ("cat", 0.4),
        ("dog", None),
    ]


def test_no_more_than_asked_for() -> None:
    assert len(largest_misses(DATA, MATCHING, count=1, score_thresh=0.5)) == 1
