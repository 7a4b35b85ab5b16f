"""Tests of vfnet_d2.evaluation.report.matching."""

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.helpers.report_data import make_data, random_data
from vfnet_d2.evaluation.report.data import EvaluationData, to_coco
from vfnet_d2.evaluation.report.matching import match

BOX = (10, 10, 20, 20)


def coco_evaluation(data: EvaluationData) -> COCOeval:
    """Pycocotools' matching at IoU 0.5."""
    tables = []
    for content in to_coco(data):
        table = COCO()
        table.dataset = content
        table.createIndex()
        tables.append(table)
    evaluation = COCOeval(*tables, "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    return evaluation


@pytest.mark.parametrize("seed", range(4))
def test_the_same_pairs_as_pycocotools(seed: int) -> None:
    data = random_data(seed=seed, noise=0.15)
    ours = match(data)
    pairs, ignored = {}, set()
    for image in coco_evaluation(data).evalImgs:
        if image is None or image["aRng"] != [0, 1e10]:
            continue
        for number, found, ignore in zip(
            image["dtIds"], image["dtMatches"][0], image["dtIgnore"][0], strict=True
        ):
            if ignore:
                ignored.add(number - 1)
            elif found:
                pairs[number - 1] = int(found) - 1
    assert {i: j for i, j in enumerate(ours.matched.tolist()) if j >= 0} == pairs
    assert set(np.flatnonzero(ours.ignored)) == ignored
    assert {int(i): j for j, i in enumerate(ours.found_by.tolist()) if i >= 0} == pairs
    assert len(pairs) > 10
    assert len(ignored) > 0


def test_the_higher_score_chooses_first() -> None:
    data = make_data([(1, 0, BOX, 0)], [(1, 0, BOX, 0.3), (1, 0, (11, 10, 20, 20), 0.9)])
    assert match(data).matched.tolist() == [-1, 0]
    assert match(data).false_positive.tolist() == [True, False]


def test_other_classes_do_not_match() -> None:
    assert match(make_data([(1, 0, BOX, 0)], [(1, 1, BOX, 0.9)])).found_by.tolist() == [-1]


def test_other_images_do_not_match() -> None:
    data = make_data([(1, 0, BOX, 0)], [(2, 0, BOX, 0.9)], images=2)
    assert match(data).found_by.tolist() == [-1]


def test_from_the_101st_on_detections_are_ignored() -> None:
    many = [(1, 0, BOX, 1 - i / 200) for i in range(102)]
    matching = match(make_data([(1, 0, BOX, 0)], many))
    assert np.flatnonzero(matching.ignored).tolist() == [100, 101]
    assert matching.false_positive.sum() == 99


@pytest.mark.parametrize(("thresh", "found"), [(0.6, True), (0.7, False)])
def test_iou_threshold(thresh: float, found: bool) -> None:
    # 20 x 13 of 20 x 20 pixels: IoU 0.65
    data = make_data([(1, 0, BOX, 0)], [(1, 0, (10, 10, 20, 13), 0.9)])
    assert bool(match(data, iou_thresh=thresh).matched[0] == 0) is found


def test_of_two_equal_objects_the_last_is_taken_as_pycocotools_does() -> None:
    data = make_data([(1, 0, BOX, 0), (1, 0, BOX, 0)], [(1, 0, BOX, 0.9)])
    (image,) = [x for x in coco_evaluation(data).evalImgs if x and x["aRng"] == [0, 1e10]]
    assert match(data).matched.tolist() == [int(image["dtMatches"][0, 0]) - 1] == [1]
