"""Tests of vfnet_d2.evaluation.report.build."""

import json

import numpy as np
import pytest
from scipy import stats

from tests.helpers.report_data import make_data, random_data
from tests.helpers.report_page import report_of
from vfnet_d2.evaluation.report.build import ranking_report

BOX, FAR = (10, 10, 20, 20), (60, 60, 20, 20)


def test_the_parts_of_a_report() -> None:
    report = report_of()
    assert {"model", "dataset"} < set(report)
    assert report["errors"]["AP50"] == pytest.approx(report["metrics"]["AP50"])
    assert [entry["name"] for entry in report["classes"]] == ["cat", "dog", "cow", "hen"]
    assert len(report["confusion"]["matrix"]) == len(report["confusion"]["labels"]) == 5
    assert [round(curve["iou"], 2) for curve in report["precision_recall"]] == [0.5, 0.75, 0.9]


def test_mean_over_classes() -> None:
    report = report_of()
    assert report["metrics"]["AP"] == pytest.approx(np.mean([x["AP"] for x in report["classes"]]))


@pytest.mark.parametrize(
    "data", [random_data(), make_data([], []), make_data([], [(1, 0, BOX, 1)])]
)
def test_it_is_json(data: object) -> None:
    report = report_of(data)  # type: ignore[arg-type]
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_counts() -> None:
    objects = [(1, 0, BOX, 0), (1, 0, FAR, 1)]
    assert report_of(make_data(objects, [(2, 0, BOX, 0.5)], images=3))["counts"] == {
        "images": 3,
        "images_without_objects": 2,
        "objects": 1,
        "crowds": 1,
        "detections": 1,
    }


@pytest.mark.parametrize(
    ("detections", "wanted", "expected"),
    [
        ([(1, 0, BOX, 0.75)], None, {"value": 0.75, "origin": "highest F1"}),
        ([(1, 0, BOX, 0.75)], 0.3, {"value": 0.3, "origin": "given"}),
        ([], None, {"value": 0.5, "origin": "no detection is right at any threshold"}),
    ],
)
def test_score_threshold(detections: list, wanted: float | None, expected: dict) -> None:
    report = report_of(make_data([(1, 0, BOX, 0)], detections), score_thresh=wanted)
    assert report["score_threshold"] == expected


def test_a_given_threshold_above_all_scores_is_diagnosed() -> None:
    report = report_of(make_data([(1, k, BOX, 0) for k in range(4)], [(1, 0, BOX, 0.4)]),
                       score_thresh=0.5)  # fmt: skip
    assert [entry["code"] for entry in report["diagnoses"]] == ["scores-below-threshold"]


def test_ranking_of_all_images_together() -> None:
    # IoUs: 1 in one image; in the other 20 x 12 of 20 x 20 pixels, and nothing there.
    data = make_data(
        [(1, 0, BOX, 0), (2, 0, BOX, 0)],
        [(1, 0, BOX, 0.9), (2, 0, (10, 10, 20, 12), 0.3), (2, 0, FAR, 0.5)],
        images=3,
    )
    ranking = ranking_report(data)
    assert ranking["count"] == 3
    expected = stats.spearmanr([0.9, 0.3, 0.5], [1, 0.6, 0]).statistic
    assert ranking["spearman"] == pytest.approx(expected)
