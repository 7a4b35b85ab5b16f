"""Tests of vfnet_d2.evaluation.report.average_precision."""

import numpy as np
import pytest

from tests.helpers.report_data import make_data, random_data
from vfnet_d2.evaluation.report.average_precision import average_precision, class_ap50, mean_ap
from vfnet_d2.evaluation.report.coco_metrics import PYCOCOTOOLS, class_metrics, evaluate_coco


@pytest.mark.parametrize(
    ("right", "objects", "expected"),
    [
        # found all
        ([True, True], 2, 1.0),
        # recall 0.5 at precision 1: recalls 0, 0.01 ... 0.5 are 51 of 101
        ([True], 2, 51 / 101),
        # 51 recalls at precision 1, the other 50 at 2/3
        ([True, False, True], 2, (51 + 50 * 2 / 3) / 101),
        # the only hit comes second
        ([False, True], 1, 0.5),
        ([False], 1, 0.0),
        ([], 1, 0.0),
    ],
)
def test_by_hand(right: list[bool], objects: int, expected: float) -> None:
    scores = np.linspace(0.9, 0.1, len(right))
    ap = average_precision(scores, np.array(right, dtype=bool), objects)
    assert ap == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools(seed: int) -> None:
    data = random_data(seed=seed, noise=0.15)
    coco = evaluate_coco(data, evaluator=PYCOCOTOOLS)
    expected = [class_metrics(coco, k)["AP50"] for k in range(len(data.classes))]
    # pycocotools divides by the count plus 2e-16
    assert 100 * class_ap50(data) == pytest.approx(expected, abs=1e-9)


def test_classes_without_objects_are_left_out_of_the_mean() -> None:
    aps = class_ap50(make_data([(1, 1, (0, 0, 9, 9), 0)], [(1, 1, (0, 0, 9, 9), 0.5)]))
    assert np.isnan(aps).tolist() == [True, False, True, True]
    assert mean_ap(aps) == 1


def test_no_mean_without_objects() -> None:
    assert np.isnan(mean_ap(np.array([np.nan])))
