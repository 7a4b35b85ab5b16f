"""Tests of vfnet_d2.evaluation.report.geometry: boxes written wrongly on purpose."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.helpers.report_data import random_data
from vfnet_d2.evaluation.report import geometry
from vfnet_d2.evaluation.report.data import EvaluationData

SIZE = 400
GOOD = random_data(seed=4, images=20, noise=0.03, size=SIZE)


def with_boxes(change: Callable[[np.ndarray], np.ndarray]) -> EvaluationData:
    """GOOD with other boxes of the detections."""
    boxes = change(GOOD.detections.boxes)
    return GOOD._replace(detections=GOOD.detections._replace(boxes=boxes))


@pytest.mark.parametrize("check", geometry.IF_SUSPICIOUS)
def test_nothing_is_found_in_good_data(check: Callable) -> None:
    assert check(GOOD) is None


@pytest.mark.parametrize(("x", "y"), [(2, 2), (0.5, 0.5), (3, 1), (1.6, 0.4)])
def test_scale(x: float, y: float) -> None:
    data = with_boxes(lambda boxes: boxes / [x, y, x, y])
    assert geometry.estimate_scale(data) == pytest.approx([x, y], rel=0.02)
    found = geometry.scaled_boxes(data)
    assert found is not None
    assert found.code == "boxes-scaled"


def test_the_scale_is_named() -> None:
    found = geometry.scaled_boxes(with_boxes(lambda boxes: boxes / [2, 4, 2, 4]))
    assert found is not None
    words = found.cause.partition("multiplied with ")[2].split()
    assert float(words[0]) == pytest.approx(2, rel=0.02)
    assert float(words[4]) == pytest.approx(4, rel=0.02)


def test_normalised() -> None:
    data = with_boxes(lambda boxes: boxes / SIZE)
    found = geometry.normalised_boxes(data)
    assert found is not None
    assert "parts of the image size" in found.cause


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda b: np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]), "boxes-are-corners"),
        (lambda b: np.hstack([b[:, :2] + b[:, 2:] / 2, b[:, 2:]]), "boxes-are-centres"),
        (lambda b: b[:, [1, 0, 3, 2]], "axes-exchanged"),
        (
            lambda b: np.hstack([b[:, 1::-1], (b[:, :2] + b[:, 2:])[:, ::-1]]),
            "boxes-are-corners-yx",
        ),
    ],
)
def test_format_of_the_detections(change: Callable, code: str) -> None:
    found = geometry.box_format(with_boxes(change))
    assert found is not None
    assert found.code == code
    assert found.cause.startswith("the boxes of the detections are ")


def test_format_of_the_ground_truth() -> None:
    boxes = GOOD.objects.boxes.copy()
    boxes[:, 2:] += boxes[:, :2]
    found = geometry.box_format(GOOD._replace(objects=GOOD.objects._replace(boxes=boxes)))
    assert found is not None
    assert found.cause.startswith("the boxes of the ground truth are corners")


def test_random_boxes_have_no_explanation() -> None:
    random = np.random.default_rng(0)
    data = with_boxes(lambda boxes: random.uniform(5, SIZE / 2, boxes.shape))
    assert [check(data) for check in geometry.IF_SUSPICIOUS] == [None] * 3
