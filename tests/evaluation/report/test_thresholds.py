"""Tests of vfnet_d2.evaluation.report.thresholds."""

import numpy as np
import pytest

from tests.helpers.report_data import make_data, random_data
from vfnet_d2.evaluation.report.data import Detections
from vfnet_d2.evaluation.report.matching import match
from vfnet_d2.evaluation.report.thresholds import best_threshold, f1_curve, threshold_report


def test_by_hand() -> None:
    # 3 objects. Right, right, wrong, wrong, right:
    # 2*1/(1+3) = 1/2, 2*2/(2+3) = 4/5, 4/(3+3) = 2/3, 4/(4+3) = 4/7, 6/(5+3) = 3/4
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    curve = f1_curve(scores, np.array([True, True, False, False, True]), 3)
    assert curve.f1 == pytest.approx([1 / 2, 4 / 5, 2 / 3, 4 / 7, 3 / 4])
    assert curve.precision == pytest.approx([1, 1, 2 / 3, 1 / 2, 3 / 5])
    assert curve.recall == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 1])
    assert best_threshold(curve) == pytest.approx(
        {"threshold": 0.8, "f1": 0.8, "precision": 1, "recall": 2 / 3}
    )


def test_equal_scores_are_not_parted() -> None:
    # The wrong one comes along with the right one: 2*1/(2+1).
    curve = f1_curve(np.array([0.5, 0.5]), np.array([True, False]), 1)
    assert (curve.scores.tolist(), curve.f1.tolist()) == ([0.5], pytest.approx([2 / 3]))


def test_of_equal_f1_the_higher_threshold() -> None:
    # 2*1/(1+3) = 2*2/(5+3)
    right = np.array([True, False, False, False, True])
    best = best_threshold(f1_curve(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), right, 3))
    assert best is not None
    assert best["threshold"] == 0.9


@pytest.mark.parametrize("right", [[], [False, False]])
def test_none_if_nothing_is_right(right: list[bool]) -> None:
    curve = f1_curve(np.linspace(1, 0, len(right)), np.array(right, dtype=bool), 2)
    assert best_threshold(curve) is None


def test_dropping_detections_gives_the_figures_of_the_curve() -> None:
    """A naive loop: match again with the detections that remain at each threshold."""
    data = random_data(seed=3, images=6)
    matching = match(data)
    kept = ~matching.ignored
    objects = int((~data.objects.crowd).sum())
    curve = f1_curve(data.detections.scores[kept], (matching.matched >= 0)[kept], objects)
    assert len(curve.scores) > 10
    for score, f1 in zip(curve.scores, curve.f1, strict=True):
        shown = data.detections.scores >= score
        again = match(data._replace(detections=Detections(*(x[shown] for x in data.detections))))
        hits, wrong = int((again.matched >= 0).sum()), int(again.false_positive.sum())
        assert f1 == pytest.approx(2 * hits / (hits + wrong + objects))


def test_overall_and_per_class() -> None:
    box, other = (10, 10, 20, 20), (60, 60, 20, 20)
    data = make_data(
        [(1, 0, box, 0), (1, 1, other, 0)],
        [(1, 0, box, 0.9), (1, 1, other, 0.3), (1, 1, (0, 80, 9, 9), 0.6)],
    )
    report = threshold_report(data, match(data))
    # Overall 2*1/(1+2) = 2/3 at 0.9, 2*1/(2+2) at 0.6, 2*2/(3+2) = 4/5 at 0.3.
    assert report["overall"]["threshold"] == 0.3
    assert report["overall"]["f1"] == pytest.approx(4 / 5)
    assert [x and x["threshold"] for x in report["classes"]] == [0.9, 0.3, None, None]
    assert report["curve"]["scores"] == [0.9, 0.6, 0.3]


def test_the_curve_is_thinned_out_evenly_and_keeps_its_ends() -> None:
    objects = [(1, 0, (0, 0, 9, 9), 0)]
    crowded = [(i, 0, (50, 50, 9, 9), 0.1 + i / 1e5) for i in range(1, 1001)]
    data = make_data(objects, [*crowded, (1, 0, (0, 0, 9, 9), 0.9)], images=1000)
    curve = threshold_report(data, match(data))["curve"]
    assert len(curve["scores"]) <= 201
    assert (curve["scores"][0], curve["scores"][-1]) == (0.9, 0.1 + 1 / 1e5)
