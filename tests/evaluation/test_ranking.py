"""Tests of vfnet_d2.evaluation.ranking."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from vfnet_d2.evaluation.ranking import (
    best_ious,
    describe_ranking,
    expected_calibration_error,
    rank_correlation,
    reliability,
)


def detections(*entries: tuple[list[float], float, int]) -> Instances:
    """Boxes (x1, y1, x2, y2), scores and classes in an image of 100 x 100 pixels."""
    found = Instances((100, 100))
    found.pred_boxes = Boxes(torch.tensor([box for box, _, _ in entries]).reshape(-1, 4))
    found.scores = torch.tensor([score for _, score, _ in entries])
    found.pred_classes = torch.tensor([label for _, _, label in entries], dtype=torch.int64)
    return found


def annotation(box: list[float], label: int = 0, *, crowd: bool = False) -> dict[str, Any]:
    """Of a box (x, y, width, height)."""
    return {
        "bbox": box,
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": label,
        "iscrowd": int(crowd),
    }


# -- detections ---------------------------------------------------------------------------------


def test_iou_with_the_nearest_object_of_the_class() -> None:
    found = detections(
        ([0.0, 0.0, 10.0, 10.0], 0.75, 0),  # 10 x 5 of 10 x 10
        ([0.0, 0.0, 10.0, 10.0], 0.5, 1),  # the object there is of another class
        ([50.0, 50.0, 60.0, 60.0], 0.25, 0),  # alone
    )
    truth = [annotation([0, 0, 10, 5]), annotation([0, 0, 10, 2]), annotation([0, 0, 10, 10], 2)]
    scores, ious = best_ious(found, truth)
    assert scores.tolist() == [0.75, 0.5, 0.25]
    assert ious.tolist() == pytest.approx([0.5, 0.0, 0.0])


def test_detections_within_a_crowd_of_their_class_are_left_out() -> None:
    found = detections(
        ([0.0, 0.0, 10.0, 10.0], 0.9, 0),  # within the crowd
        ([0.0, 0.0, 10.0, 10.0], 0.8, 1),  # of another class
        ([36.0, 0.0, 46.0, 10.0], 0.7, 0),  # 4 of 10 pixels within
        ([20.0, 20.0, 30.0, 30.0], 0.6, 0),  # within, and on an object
    )
    truth = [annotation([0, 0, 40, 40], crowd=True), annotation([20, 20, 10, 10])]
    scores, ious = best_ious(found, truth)
    assert scores.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert ious.tolist() == pytest.approx([0, 0, 1])


def test_an_image_without_objects() -> None:
    scores, ious = best_ious(detections(([0.0, 0.0, 10.0, 10.0], 0.5, 0)), [])
    assert (scores.tolist(), ious.tolist()) == ([0.5], [0.0])


def test_an_image_without_detections() -> None:
    scores, ious = best_ious(detections(), [annotation([0, 0, 10, 10])])
    assert len(scores) == len(ious) == 0


# -- ranking ------------------------------------------------------------------------------------


def test_rank_correlation_by_hand() -> None:
    # Ranks of the scores 1 2 3 4, of the IoUs 2 1 4 3. Squared differences 1 + 1 + 1 + 1:
    # rho = 1 - 6 * 4 / (4 * 15) = 0.6. Of 6 pairs, 4 agree: tau = (4 - 2) / 6.
    result = rank_correlation(np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.3, 0.2, 0.9, 0.8]))
    assert result == pytest.approx({"spearman": 0.6, "kendall": 1 / 3})


def test_random_scores_do_not_rank() -> None:
    # The standard deviation of rho under independence is 1 / sqrt(n - 1) = 0.01; five of them.
    rng = np.random.default_rng(0)
    result = rank_correlation(rng.random(10_001), rng.random(10_001))
    assert abs(result["spearman"] or 1) < 0.05


@pytest.mark.parametrize(
    ("scores", "ious"), [([], []), ([0.5], [0.5]), ([0.5, 0.5], [0.1, 0.9]), ([0.1, 0.9], [1, 1])]
)
def test_a_correlation_that_is_not_defined_is_none(scores: list[float], ious: list[float]) -> None:
    result = rank_correlation(np.array(scores), np.array(ious))
    assert result == {"spearman": None, "kendall": None}


def test_reliability_by_hand() -> None:
    bins = reliability(
        np.array([0.0, 0.25, 0.5, 1.0]), np.array([0.25, 0.75, 0.5, 1.0]), num_bins=4
    )
    assert bins == [
        {"low": 0.0, "high": 0.25, "count": 1, "mean_score": 0.0, "mean_iou": 0.25},
        {"low": 0.25, "high": 0.5, "count": 1, "mean_score": 0.25, "mean_iou": 0.75},
        {"low": 0.5, "high": 0.75, "count": 1, "mean_score": 0.5, "mean_iou": 0.5},
        {"low": 0.75, "high": 1.0, "count": 1, "mean_score": 1.0, "mean_iou": 1.0},
    ]


def test_means_of_a_bin() -> None:
    full, empty = reliability(np.array([0.0, 0.25]), np.array([0.5, 1.0]), num_bins=2)
    assert (full["count"], full["mean_score"], full["mean_iou"]) == (2, 0.125, 0.75)
    assert (empty["count"], empty["mean_score"], empty["mean_iou"]) == (0, None, None)


def test_expected_calibration_error_by_hand() -> None:
    # (3 * |0.2 - 0.5| + 1 * |0.8 - 0.7|) / 4 = 0.25; the empty bin does not count.
    bins = [
        {"count": 3, "mean_score": 0.2, "mean_iou": 0.5},
        {"count": 0, "mean_score": None, "mean_iou": None},
        {"count": 1, "mean_score": 0.8, "mean_iou": 0.7},
    ]
    assert expected_calibration_error(bins) == pytest.approx(0.25)


def test_scores_that_are_the_ious_are_calibrated_and_rank_perfectly() -> None:
    ious = np.random.default_rng(0).random(100)
    result = describe_ranking(ious, ious)
    assert result["count"] == 100
    assert result["expected_calibration_error"] == pytest.approx(0)
    assert (result["spearman"], result["kendall"]) == pytest.approx((1, 1))


def test_nothing_to_rank() -> None:
    result = describe_ranking(np.zeros(0), np.zeros(0))
    assert (result["count"], result["expected_calibration_error"]) == (0, None)
