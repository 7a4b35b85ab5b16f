"""Tests of vfnet_d2.evaluation.report.coco_metrics."""

import importlib.util
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.helpers.report_data import ground_truth, make_data, random_data, random_items, results
from vfnet_d2.evaluation.report.coco_metrics import (
    FASTER,
    METRICS,
    PYCOCOTOOLS,
    RECALL_METRICS,
    choose_evaluator,
    class_metrics,
    evaluate_coco,
    precision_recall,
    summary,
)
from vfnet_d2.evaluation.report.data import EvaluationData, ReportInputError

BOX = (10, 10, 20, 20)

needs_faster = pytest.mark.skipif(
    importlib.util.find_spec("faster_coco_eval") is None, reason="faster-coco-eval not installed"
)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> COCOeval:
    """Pycocotools on files, as anyone would use it."""
    folder = tmp_path_factory.mktemp("coco")
    objects, detections = random_items(seed=5)
    (folder / "truth.json").write_text(json.dumps({"info": {}, **ground_truth(objects, images=12)}))
    (folder / "found.json").write_text(json.dumps(results(detections)))
    truth = COCO(str(folder / "truth.json"))
    return COCOeval(truth, truth.loadRes(str(folder / "found.json")), "bbox")


def run(evaluation: COCOeval, *, category: int | None = None) -> np.ndarray:
    """COCO's stats in percent, of one category or all."""
    evaluation.params.catIds = [category] if category else [10, 20, 30, 40]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * np.array(evaluation.stats)


# What pycocotools adds to the number of detections before it divides by it: of all precisions,
# which are at most 1, this changes those of a single detection, by as much.
EPSILON = 2.0**-52


def assert_equal_evaluators(data: EvaluationData) -> None:
    """Compare both evaluators up to the rounding that the module's docstring names."""
    plain, fast = (evaluate_coco(data, evaluator=name) for name in (PYCOCOTOOLS, FASTER))
    assert (plain.evaluator, fast.evaluator) == (PYCOCOTOOLS, FASTER)
    # Quotients of the same integers.
    assert np.array_equal(plain.recall, fast.recall)
    np.testing.assert_allclose(fast.precision, plain.precision, rtol=0, atol=EPSILON)
    # Means of at most n such numbers. In whatever order n numbers in [0, 1] are added, their mean
    # is off by no more than n / 2 EPSILON, here on both sides.
    n = plain.precision[..., 0, -1].size
    np.testing.assert_allclose(fast.stats, plain.stats, rtol=0, atol=(n + 1) * EPSILON)


def test_summary_equals_pycocotools_on_files(evaluation: COCOeval) -> None:
    ours = summary(evaluate_coco(random_data(seed=5), evaluator=PYCOCOTOOLS))
    expected = run(evaluation)
    assert list(ours) == [*METRICS, *RECALL_METRICS]
    assert [-100 if v is None else v for v in ours.values()] == pytest.approx(list(expected))


@pytest.mark.parametrize("number", range(4))
def test_a_class_equals_pycocotools_on_that_class(evaluation: COCOeval, number: int) -> None:
    result = evaluate_coco(random_data(seed=5), evaluator=PYCOCOTOOLS)
    ours = [-100 if v is None else v for v in class_metrics(result, number).values()]
    assert ours == pytest.approx(list(run(evaluation, category=10 * (number + 1))[:6]))


@needs_faster
@pytest.mark.parametrize("seed", range(3))
def test_the_fast_evaluator_gives_the_same(seed: int) -> None:
    assert_equal_evaluators(random_data(seed=seed, images=25, size=300))


# Detections of one class in one image, best first: of the object of that number, or a false alarm.
# Objects: 0 ... 3 are small, 4 is of medium size, 5 a crowd.
_FALSE = 9


@needs_faster
@settings(max_examples=60, deadline=None)
@given(
    objects=st.sets(st.integers(0, 5)),
    found=st.lists(st.integers(0, 5) | st.just(_FALSE), max_size=5),
)
@example(objects={0}, found=[0])  # n = 1, and nothing else is found
@example(objects={0, 1}, found=[0, _FALSE, 1])  # precision 1 at the first detection alone
@example(objects={0, 1}, found=[0, 1, _FALSE])  # 2 of 2, which is 1 to the last bit
@example(objects={0, 1, 2}, found=[_FALSE, 0])
@example(objects={0, 1, 2, 5}, found=[5, 5, 0, _FALSE])  # what does not count comes first
@example(objects={0, 4}, found=[0, 4])  # one of each size
def test_the_fast_evaluator_gives_the_same_in_small_cases(
    objects: set[int], found: list[int]
) -> None:
    boxes = {number: (10 * number, 0, 8, 8) for number in range(4)}
    boxes |= {4: (0, 20, 50, 40), 5: (60, 20, 30, 30), _FALSE: (0, 80, 9, 9)}
    truth = [(1, 0, boxes[number], float(number == 5)) for number in objects]
    seen = [(1, 0, boxes[number], 0.9 - 0.1 * place) for place, number in enumerate(found)]
    assert_equal_evaluators(make_data(truth, seen))


@needs_faster
@pytest.mark.parametrize("right", [1, 2])
@pytest.mark.parametrize("count", [100, 127, 128, 129, 250])
def test_the_fast_evaluator_gives_the_same_among_many_objects(count: int, right: int) -> None:
    # Beyond 200 objects COCO's recalls 0, 0.01, ... do not part the first detection from the
    # second.
    truth = [(image, 0, BOX, 0) for image in range(1, count + 1)]
    seen = [(image, 0, BOX, 1 - image / 1000) for image in range(1, right + 1)]
    wrong = (right + 1, 0, (60, 60, 9, 9), 0.5)
    assert_equal_evaluators(make_data(truth, [*seen, wrong], images=count))


def test_no_detections_is_ap_0() -> None:
    ours = summary(evaluate_coco(make_data([(1, 0, BOX, 0)], [])))
    assert (ours["AP"], ours["APl"]) == (0, None)  # 20 x 20 pixels are small


def test_no_objects_is_not_defined() -> None:
    assert set(summary(evaluate_coco(make_data([], [(1, 0, BOX, 0.5)]))).values()) == {None}


def test_curve() -> None:
    # One of two objects is found, by the second-best detection: precision 0.5 up to recall 0.5.
    data = make_data(
        [(1, 0, BOX, 0), (1, 0, (60, 60, 20, 20), 0)],
        [(1, 0, (0, 80, 9, 9), 0.9), (1, 0, BOX, 0.8)],
    )
    curve = precision_recall(evaluate_coco(data), 5)
    assert curve["iou"] == 0.75
    assert curve["mean"] == pytest.approx([0.5] * 51 + [0] * 50)
    assert curve["classes"][1:] == [None] * 3


def test_the_fast_evaluator_is_chosen_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert choose_evaluator() == FASTER


def test_without_the_fast_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_evaluator() == PYCOCOTOOLS
    with pytest.raises(ReportInputError, match="pip install faster-coco-eval"):
        choose_evaluator(FASTER)
