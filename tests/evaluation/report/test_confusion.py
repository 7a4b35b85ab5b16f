"""Tests of vfnet_d2.evaluation.report.confusion."""

from collections.abc import Sequence

from tests.helpers.report_data import Item, make_data, random_data
from vfnet_d2.evaluation.report.confusion import confusion_matrix
from vfnet_d2.evaluation.report.matching import match

BOX, NEAR, FAR = (10, 10, 20, 20), (11, 10, 20, 20), (60, 60, 20, 20)
BACKGROUND = 4


def cells(
    objects: Sequence[Item], detections: Sequence[Item], *, score_thresh: float = 0.5
) -> dict[tuple[int, int], int]:
    """The cells that are not 0, by row and column."""
    data = make_data(objects, detections)
    matrix = confusion_matrix(data, match(data), score_thresh=score_thresh)
    return {
        (i, j): int(count) for i, row in enumerate(matrix) for j, count in enumerate(row) if count
    }


def test_a_hit_a_miss_and_a_false_alarm() -> None:
    found = cells([(1, 0, BOX, 0), (1, 1, FAR, 0)], [(1, 0, BOX, 0.9), (1, 2, (0, 80, 9, 9), 0.9)])
    assert found == {(0, 0): 1, (1, BACKGROUND): 1, (BACKGROUND, 2): 1}


def test_an_object_taken_for_another() -> None:
    assert cells([(1, 0, BOX, 0)], [(1, 3, NEAR, 0.9)]) == {(0, 3): 1}


def test_the_right_class_comes_first() -> None:
    """Although the other detection scores and overlaps more."""
    found = cells([(1, 0, BOX, 0)], [(1, 3, BOX, 0.9), (1, 0, NEAR, 0.6)])
    assert found == {(0, 0): 1, (BACKGROUND, 3): 1}


def test_a_duplicate_is_background() -> None:
    found = cells([(1, 0, BOX, 0)], [(1, 0, BOX, 0.9), (1, 0, NEAR, 0.8)])
    assert found == {(0, 0): 1, (BACKGROUND, 0): 1}


def test_low_scores_do_not_count() -> None:
    assert cells([(1, 0, BOX, 0)], [(1, 0, BOX, 0.49)]) == {(0, BACKGROUND): 1}
    assert cells([(1, 0, BOX, 0)], [(1, 0, BOX, 0.5)]) == {(0, 0): 1}


def test_poor_boxes_are_background() -> None:
    # 20 x 9 of 20 x 20 pixels: IoU 0.45
    found = cells([(1, 0, BOX, 0)], [(1, 1, (10, 10, 20, 9), 0.9)])
    assert found == {(0, BACKGROUND): 1, (BACKGROUND, 1): 1}


def test_crowds_do_not_count() -> None:
    assert cells([(1, 0, BOX, 1)], [(1, 0, BOX, 0.9)]) == {}


def test_rows_add_up_to_objects_and_columns_to_detections() -> None:
    data = random_data(seed=7)
    matching = match(data)
    matrix = confusion_matrix(data, matching, score_thresh=0.3)
    assert matrix[:-1].sum() == (~data.objects.crowd).sum()
    counted = (data.detections.scores >= 0.3) & ~matching.ignored
    assert matrix[:, :-1].sum() == counted.sum()
