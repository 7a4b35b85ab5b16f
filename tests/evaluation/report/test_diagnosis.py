"""Tests of vfnet_d2.evaluation.report.diagnosis: each cause, made on purpose."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.helpers.report_data import ground_truth, make_data, random_data, random_items, results
from vfnet_d2.evaluation.report import diagnosis
from vfnet_d2.evaluation.report.data import EvaluationData, from_coco
from vfnet_d2.evaluation.report.diagnosis import Diagnosis

BOX = (10, 10, 20, 20)
GOOD = random_data(seed=1, images=20, noise=0.03)


def altered(change: Callable[[dict[str, Any]], dict[str, Any]]) -> EvaluationData:
    """GOOD with every detection changed before it is read."""
    objects, detections = random_items(seed=1, images=20, noise=0.03)
    return from_coco(
        ground_truth(objects, images=20), [entry | change(entry) for entry in results(detections)]
    )


def with_classes(order: list[int]) -> EvaluationData:
    """GOOD with class k of the detections written as order[k]."""
    classes = np.array(order)[GOOD.detections.classes]
    return GOOD._replace(detections=GOOD.detections._replace(classes=classes))


@pytest.mark.parametrize(
    "check",
    [
        *diagnosis.ALWAYS,
        diagnosis.no_detections,
        diagnosis.class_order,
        diagnosis.shifted_image_ids,
        lambda data: diagnosis.scores_below(data, score_thresh=0.5),
    ],
)
def test_nothing_is_found_in_good_data(check: Callable[[EvaluationData], Diagnosis | None]) -> None:
    assert check(GOOD) is None


def test_no_detections() -> None:
    found = diagnosis.no_detections(make_data([(1, 0, BOX, 0)], []))
    assert found is not None
    assert "not one detection" in found.cause


def test_no_detections_because_of_the_threshold() -> None:
    found = diagnosis.no_detections(make_data([(1, 0, BOX, 0)], []), hidden=(0.05, 0.0123))
    assert found is not None
    assert "under the detector's threshold of 0.05; the highest on a few images is 0.0123" in (
        found.cause
    )


def test_no_ground_truth_of_a_class() -> None:
    found = diagnosis.no_ground_truth(make_data([(1, 0, BOX, 0), (1, 1, BOX, 1)], []))
    assert found is not None
    assert found.code == "class-without-ground-truth"
    assert found.cause.startswith("3 of 4 classes")
    assert found.cause.endswith("dog, cow, hen")


def test_no_ground_truth_at_all() -> None:
    found = diagnosis.no_ground_truth(make_data([(1, 0, BOX, 1)], []))
    assert found is not None
    assert found.code == "no-ground-truth"


@pytest.mark.parametrize(
    ("change", "words", "advice"),
    [
        (lambda x: {"image_id": x["image_id"] + 1000}, "'1001'", "both files are of one set"),
        (lambda x: {"image_id": str(x["image_id"])}, "\"'1'\"", "write them as int"),
        (lambda x: {"image_id": f"{x['image_id']}.png"}, "1.png", "names of the image files"),
    ],
)
def test_image_ids(change: Any, words: str, advice: str) -> None:
    found = diagnosis.image_ids(altered(change))
    assert found is not None
    total = len(GOOD.detections.scores)
    assert found.cause.startswith(f"{total} of {total} detections")
    assert words.strip("\"'") in found.cause
    assert advice in found.remedy


@pytest.mark.parametrize(("step", "word"), [(-1, "after"), (1, "before")])
def test_image_ids_off_by_one(step: int, word: str) -> None:
    found = diagnosis.shifted_image_ids(altered(lambda x: {"image_id": x["image_id"] + step}))
    assert found is not None
    assert f"fit the image {word} the one they name" in found.cause


def test_category_ids_from_0() -> None:
    found = diagnosis.category_ids(altered(lambda x: {"category_id": x["category_id"] // 10 - 1}))
    assert found is not None
    assert "it has 10, 20, 30, 40" in found.cause
    assert found.remedy.endswith("which count from 0")


def test_scores_are_logits() -> None:
    found = diagnosis.score_range(altered(lambda x: {"score": 10 * x["score"] - 5}))
    assert found is not None
    assert "scores go from -5 to 4.7" in found.cause


def test_all_scores_below_the_threshold() -> None:
    data = altered(lambda x: {"score": x["score"] / 100})
    found = diagnosis.scores_below(data, score_thresh=0.5)
    assert found is not None
    assert f"the highest score is {data.detections.scores.max():.3g}" in found.cause


def test_two_classes_exchanged() -> None:
    found = diagnosis.class_order(with_classes([1, 0, 2, 3]))
    assert found is not None
    assert "'cat' means 'dog', 'dog' means 'cat'. With that order, AP50 of these" in found.cause


def test_all_classes_shifted() -> None:
    # Detections of class k are written as k + 1.
    found = diagnosis.class_order(with_classes([1, 2, 3, 0]))
    assert found is not None
    assert "(all shifted by -1): 'cat' means 'hen', 'dog' means 'cat'" in found.cause


def test_poor_classes_are_no_other_order() -> None:
    """Detections of random classes: no order explains them."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, len(GOOD.detections.classes))
    data = GOOD._replace(detections=GOOD.detections._replace(classes=classes))
    assert diagnosis.class_order(data) is None


def test_gain_by_hand() -> None:
    right = make_data([(1, 0, BOX, 0)], [(1, 0, BOX, 0.5)])
    wrong = make_data([(1, 0, BOX, 0)], [(1, 0, (60, 60, 9, 9), 0.5)])
    assert diagnosis.gained(wrong, right) == "AP50 would be 100.0 instead of 0.0"
    assert diagnosis.gained(right, wrong) == ""


def test_listed() -> None:
    assert diagnosis.listed(list("abc"), shown=2) == "a, b and 1 more"
