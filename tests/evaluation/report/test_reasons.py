"""Tests of vfnet_d2.evaluation.report.reasons."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.helpers.report_data import Item, make_data, random_data
from vfnet_d2.evaluation.report.average_precision import class_ap50
from vfnet_d2.evaluation.report.data import EvaluationData
from vfnet_d2.evaluation.report.errors import find_errors
from vfnet_d2.evaluation.report.matching import match
from vfnet_d2.evaluation.report.reasons import class_reason, diagnose

BOX, FAR = (10, 10, 20, 20), (60, 60, 20, 20)
CAT, DOG = (1, 0, BOX, 0), (1, 1, FAR, 0)
GOOD = random_data(seed=1, images=20, noise=0.03)


def codes(data: EvaluationData, *, score_thresh: float | None = None) -> list[str]:
    """Codes of all diagnoses."""
    return [x.code for x in diagnose(data, aps=class_ap50(data), score_thresh=score_thresh)]


def test_nothing_is_wrong_with_good_data() -> None:
    assert codes(GOOD, score_thresh=0.5) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"classes": (GOOD.detections.classes + 1) % 4}, "class-order"),
        ({"boxes": GOOD.detections.boxes * 3}, "boxes-scaled"),
        ({"boxes": GOOD.detections.boxes[:, [1, 0, 3, 2]]}, "axes-exchanged"),
        ({"scores": GOOD.detections.scores / 100}, "scores-below-threshold"),
    ],
)
def test_only_the_cause_is_named(change: dict, code: str) -> None:
    data = GOOD._replace(detections=GOOD.detections._replace(**change))
    assert codes(data, score_thresh=0.5) == [code]


def test_without_detections_nothing_else_is_tried() -> None:
    assert codes(make_data([CAT, DOG, (1, 2, BOX, 0), (1, 3, BOX, 0)], [])) == ["no-detections"]


def test_without_ground_truth() -> None:
    assert codes(make_data([], [(1, 0, BOX, 0.9)])) == ["no-ground-truth"]


@pytest.mark.parametrize(
    ("objects", "detections", "reason"),
    [
        ([CAT], [(1, 0, BOX, 0.9)], ""),
        ([DOG], [(1, 0, BOX, 0.9)], "no object of this class in the ground truth"),
        ([CAT], [(1, 1, FAR, 0.9)], "no detection of this class"),
        (
            [CAT],
            [(1, 1, BOX, 0.9)],
            "no detection of this class; its objects are detected as 'dog'",
        ),
        (
            [CAT, DOG],
            [(1, 0, FAR, 0.9)],
            "100 % of its 1 detections, by score, lie on objects of other classes, mostly 'dog'",
        ),
        (
            [CAT],
            [(1, 0, (10, 10, 20, 8), 0.9)],
            "100 % of its 1 detections, by score, are near an object of the class, but with an IoU "
            "below 0.5",
        ),
        # 0.9 of 1.2 on the dog, although two of three are on nothing.
        (
            [CAT, DOG],
            [(1, 0, FAR, 0.9), (1, 0, (0, 90, 5, 5), 0.2), (1, 0, (90, 0, 5, 5), 0.1)],
            "75 % of its 3 detections, by score, lie on objects of other classes, mostly 'dog'",
        ),
        (
            [CAT],
            [(1, 0, FAR, 0.9)],
            "100 % of its 1 detections, by score, are near no object of the class",
        ),
    ],
)
def test_why_the_ap_of_cats_is_0(
    objects: Sequence[Item], detections: Sequence[Item], reason: str
) -> None:
    data = make_data(objects, detections)
    errors = find_errors(data, match(data))
    ap = class_ap50(data)[0]
    assert class_reason(data, errors, 0, float(np.nan_to_num(ap))) == reason
