"""Tests of vfnet_d2.evaluation.report.errors."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.helpers.report_data import Item, make_data, random_data
from vfnet_d2.evaluation.report.errors import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    KINDS,
    LOCALISATION,
    MISSED,
    Errors,
    error_report,
    find_errors,
)
from vfnet_d2.evaluation.report.matching import match

BOX, FAR = (10, 10, 20, 20), (60, 60, 20, 20)
HALF = (10, 10, 20, 8)  # 20 x 8 of 20 x 20 pixels: IoU 0.4
CAT: Item = (1, 0, BOX, 0)


def errors_of(objects: Sequence[Item], detections: Sequence[Item]) -> Errors:
    """Errors of a small case."""
    data = make_data(objects, detections)
    return find_errors(data, match(data))


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        ((1, 0, (11, 10, 20, 20), 0.5), DUPLICATE),
        ((1, 1, BOX, 0.5), CLASSIFICATION),
        ((1, 0, HALF, 0.5), LOCALISATION),
        ((1, 1, HALF, 0.5), BOTH),
        ((1, 0, FAR, 0.5), BACKGROUND),
        # 20 x 1.8 of 20 x 20 pixels: IoU 0.09
        ((1, 0, (10, 10, 20, 1.8), 0.5), BACKGROUND),
        ((1, 0, (10, 10, 20, 2.2), 0.5), LOCALISATION),
    ],
)
def test_kinds_beside_a_detection_that_is_right(detection: Item, kind: str) -> None:
    assert errors_of([CAT], [(1, 0, BOX, 0.9), detection]).kind.tolist() == ["", kind]


def test_the_wrong_class_weighs_more_than_a_poor_box() -> None:
    """On a dog, and a little on a cat: a dog taken for a cat."""
    # With the cat, 20 x 8 of 400 pixels: IoU 0.4.
    errors = errors_of([CAT, (1, 1, HALF, 0)], [(1, 0, HALF, 0.9)])
    assert errors.kind.tolist() == [CLASSIFICATION]
    assert errors.target.tolist() == [1]


def test_an_object_found_badly_is_not_missed() -> None:
    objects = [CAT, (1, 1, FAR, 0), (1, 2, (60, 10, 20, 20), 0), (1, 3, (10, 60, 20, 20), 0)]
    errors = errors_of(objects, [(1, 0, HALF, 0.9), (1, 2, FAR, 0.9), (1, 2, (0, 80, 9, 9), 0.9)])
    assert errors.missed.tolist() == [False, False, True, True]


def test_crowds_are_neither_missed_nor_meant() -> None:
    errors = errors_of([(1, 0, BOX, 1)], [(1, 1, BOX, 0.9)])
    assert (errors.missed.tolist(), errors.kind.tolist()) == ([False], [BACKGROUND])


def costs(objects: Sequence[Item], detections: Sequence[Item]) -> dict[str, Any]:
    """AP50, and the costs that are not 0."""
    data = make_data(objects, detections)
    matching = match(data)
    report = error_report(data, matching, find_errors(data, matching), score_thresh=0.5)
    found = {kind["name"]: round(kind["dAP"], 6) for kind in report["kinds"]}
    return {"AP50": round(report["AP50"], 6), **{k: v for k, v in found.items() if v}}


def test_cost_of_a_wrong_class() -> None:
    # Cats 1, dogs 0: the wrong cat comes after the right one. Put right: both 1.
    found = costs([CAT, (1, 1, FAR, 0)], [(1, 0, BOX, 0.9), (1, 0, FAR, 0.8)])
    assert found == {"AP50": 50, CLASSIFICATION: 50}


def test_cost_of_a_wrong_class_where_the_object_was_found() -> None:
    # The cat comes second of two: AP 0.5, dogs 1, mean 0.75. The wrong one is removed.
    found = costs([CAT, (1, 1, FAR, 0)], [(1, 0, FAR, 0.95), (1, 0, BOX, 0.9), (1, 1, FAR, 0.8)])
    assert found == {"AP50": 75, CLASSIFICATION: 25}


def test_cost_of_a_poor_box() -> None:
    # Put right it counts, but once: the other poor box is removed. One of two cats is found, which
    # is 51 of 101 recalls.
    found = costs([CAT, (1, 0, FAR, 0)], [(1, 0, HALF, 0.9), (1, 0, HALF, 0.8)])
    assert found == pytest.approx({"AP50": 0, LOCALISATION: 5100 / 101})


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [((60, 10, 20, 20), BACKGROUND), (FAR, CLASSIFICATION), ((60, 60, 20, 8), BOTH)],
)
def test_cost_of_a_detection_before_the_right_one(wrong: Sequence[float], kind: str) -> None:
    # Cats: precision 1/2 at every recall. Dogs: found. (1/2 + 1) / 2 = 3/4; without it 1.
    objects = [CAT, (1, 1, FAR, 0)]
    found = costs(objects, [(1, 0, wrong, 0.9), (1, 0, BOX, 0.8), (1, 1, FAR, 0.7)])
    assert found == {"AP50": 75, kind: 25}


def test_cost_of_a_duplicate() -> None:
    # Two cats: right, duplicate, right. 51 of 101 recalls at precision 1, 50 at 2/3.
    before = 100 * (51 + 50 * 2 / 3) / 101
    found = costs([CAT, (1, 0, FAR, 0)], [(1, 0, BOX, 0.9), (1, 0, BOX, 0.8), (1, 0, FAR, 0.7)])
    assert found == pytest.approx({"AP50": before, DUPLICATE: 100 - before})


def test_cost_of_a_miss() -> None:
    # One of two cats: 51 of 101 recalls. If only one is asked for: 1.
    found = costs([CAT, (1, 0, FAR, 0)], [(1, 0, BOX, 0.9)])
    assert found == pytest.approx({"AP50": 5100 / 101, MISSED: 100 - 5100 / 101})


def test_a_class_missed_as_a_whole_keeps_ap_0() -> None:
    assert costs([CAT, (1, 1, FAR, 0)], [(1, 0, BOX, 0.9)]) == {"AP50": 50}


def test_every_false_positive_has_one_kind_and_no_cost_is_negative() -> None:
    data = random_data(seed=2, noise=0.2)
    matching = match(data)
    errors = find_errors(data, matching)
    assert ((errors.kind != "") == matching.false_positive).all()
    report = error_report(data, matching, errors, score_thresh=0.5)
    assert sum(kind["count"] for kind in report["kinds"][:-1]) == matching.false_positive.sum()
    assert {kind["name"] for kind in report["kinds"]} == {*KINDS, MISSED}
    assert min(kind["dAP"] for kind in report["kinds"]) >= 0


def test_counts_above_the_threshold() -> None:
    objects, found = [CAT], [(1, 0, BOX, 0.4), (1, 0, FAR, 0.9), (1, 0, (80, 0, 9, 9), 0.3)]
    data = make_data(objects, found)
    matching = match(data)
    report = error_report(data, matching, find_errors(data, matching), score_thresh=0.5)
    counts = {kind["name"]: (kind["count"], kind["count_above"]) for kind in report["kinds"]}
    # Above 0.5 the cat is missed, and one of two false alarms is left.
    assert (counts[BACKGROUND], counts[MISSED]) == ((2, 1), (0, 1))


def test_without_objects_there_is_no_ap() -> None:
    data = make_data([], [(1, 0, BOX, 0.9)])
    matching = match(data)
    report = error_report(data, matching, find_errors(data, matching), score_thresh=0.5)
    assert (report["AP50"], {kind["dAP"] for kind in report["kinds"]}) == (None, {None})
