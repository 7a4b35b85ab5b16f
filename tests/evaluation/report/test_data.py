"""Tests of vfnet_d2.evaluation.report.data."""

import copy
from typing import Any

import numpy as np
import pytest

from tests.helpers.report_data import ground_truth, make_data, results
from vfnet_d2.evaluation.report.data import (
    ReportInputError,
    class_counts,
    corners,
    from_coco,
    of_images,
    to_coco,
)

TRUTH = ground_truth([(2, 1, (1, 2, 3, 4), 0), (1, 0, (5, 6, 7, 8), 1)], images=2)
FOUND = results([(2, 3, (1, 2, 3, 4), 0.5)])


def test_ids_become_numbers() -> None:
    data = from_coco(TRUTH, FOUND)
    assert data.objects.image.tolist() == [1, 0]
    assert data.objects.classes.tolist() == [1, 0]
    assert (data.detections.image.tolist(), data.detections.classes.tolist()) == ([1], [3])


def test_images_and_classes_are_in_the_order_of_their_ids() -> None:
    mixed = copy.deepcopy(TRUTH)
    mixed["images"].reverse()
    mixed["categories"].reverse()
    assert from_coco(mixed, FOUND).images == from_coco(TRUTH, FOUND).images
    assert from_coco(mixed, FOUND).classes == ("cat", "dog", "cow", "hen")


def test_there_and_back() -> None:
    truth, found = to_coco(from_coco(TRUTH, FOUND))
    assert truth == TRUTH
    assert [{k: x[k] for k in FOUND[0]} for x in found["annotations"]] == FOUND


def test_annotations_are_numbered_from_1() -> None:
    """COCO's evaluation takes a match with annotation 0 for none."""
    numbered = copy.deepcopy(TRUTH)
    numbered["annotations"][0]["id"] = 0
    assert [entry["id"] for entry in to_coco(from_coco(numbered, FOUND))[0]["annotations"]] == [
        1,
        2,
    ]


def test_area_and_iscrowd_may_be_left_out() -> None:
    short = copy.deepcopy(TRUTH)
    for key in ("area", "iscrowd"):
        del short["annotations"][0][key]
    objects = from_coco(short, FOUND).objects
    assert (objects.area[0], objects.crowd[0]) == (12, False)  # 3 x 4


def test_detections_of_unknown_images_and_classes_are_left_out_but_counted() -> None:
    strange = [{**FOUND[0], "image_id": 7}, {**FOUND[0], "category_id": 1}, *FOUND]
    data = from_coco(TRUTH, strange)
    assert len(data.detections.scores) == 1
    assert data.detected_images == {7: 1, 2: 2}
    assert data.detected_categories == {1: 1, 40: 2}


def changed(part: str, **values: Any) -> dict[str, Any]:
    """TRUTH with other values in the first entry of a part."""
    truth = copy.deepcopy(TRUTH)
    truth[part][0].update(values)
    return truth


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ([], FOUND, "the ground truth is not a COCO dictionary"),
        ({"images": []}, FOUND, "no 'categories' and no 'annotations'"),
        (TRUTH, {"annotations": []}, "the detections are not a list"),
        (TRUTH, [{"image_id": 1}], "detection number 0 has no category_id, bbox, score"),
        (TRUTH, [{**FOUND[0], "bbox": [1, 2, 3]}], r"detection number 0: the box \[1, 2, 3\]"),
        (TRUTH, [{**FOUND[0], "score": float("nan")}], "detection number 0: score nan"),
        (changed("annotations", image_id=9), FOUND, "annotation 1: image_id 9 is not in the file"),
        (changed("annotations", bbox=[0, 0, np.inf, 1]), FOUND, "annotation 1: the box"),
        (changed("images", id=2), FOUND, "an? image id twice"),
        (changed("categories", id=20), FOUND, "a category id twice"),
    ],
)
def test_malformed_input_is_named(truth: Any, found: Any, message: str) -> None:
    with pytest.raises(ReportInputError, match=message):
        from_coco(truth, found)


def test_positions_by_image() -> None:
    parts = of_images(np.array([2, 0, 2, 0]), 4)
    assert [part.tolist() for part in parts] == [[1, 3], [], [0, 2], []]


def test_crowds_do_not_count() -> None:
    box = (0, 0, 1, 1)
    data = make_data([(1, 0, box, 0), (1, 0, box, 1)], [])
    assert class_counts(data).tolist() == [1, 0, 0, 0]


def test_corners() -> None:
    assert corners(np.array([[1.0, 2, 3, 4]])).tolist() == [[1, 2, 4, 6]]
