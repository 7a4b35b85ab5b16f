"""Tests of vfnet_d2.paper.oracle."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs, Matches, flatten
from vfnet_d2.paper.oracle import (
    COLUMNS,
    Foreground,
    apply_column,
    columns_for,
    point_scores,
    unflatten,
)

# Two images, two levels of 2 x 3 and 1 x 2 cells with three anchors each, five classes.
SIZES, ANCHORS, CLASSES, IMAGES = [(2, 3), (1, 2)], 3, 5, 2
BY_NAME = {column.name: column for column in COLUMNS}


def random_outputs(*, quality: bool = True) -> HeadOutputs:
    def maps(channels: int) -> list[Tensor]:
        return [torch.randn(IMAGES, ANCHORS * channels, *size) for size in SIZES]

    return HeadOutputs(
        maps(CLASSES), [DenseBoxes(maps(4)), DenseBoxes(maps(4))], maps(1) if quality else None
    )


def foreground() -> Foreground:
    """Four points: two of image 0, one of them on the second level, and two of image 1."""
    matches = Matches(
        image=torch.tensor([0, 0, 1, 1]),
        anchor=torch.tensor([4, 19, 0, 23]),
        anchor_boxes=torch.zeros(4, 4),
        gt_boxes=torch.zeros(4, 4),
        gt_classes=torch.tensor([2, 0, 4, 1]),
        boxes=torch.zeros(4, 4),
        ious=torch.tensor([0.25, 0.0, 1.0, 0.75]),
    )
    return Foreground(matches, torch.rand(4, 4), torch.tensor([0.5, 0.9, 0.1, 1.0]))


def place(anchor: int) -> tuple[int, int, int, int]:
    """Level, row, column and anchor of its cell of an anchor, by counting."""
    order = (
        (level, row, column, number)
        for level, (rows, columns) in enumerate(SIZES)
        for row, column, number in itertools.product(range(rows), range(columns), range(ANCHORS))
    )
    return next(itertools.islice(order, anchor, None))


def expected(
    levels: list[Tensor], channels: int, values: dict[tuple[int, int, int], float]
) -> list[Tensor]:
    """Maps in which the (image, anchor, channel) of ``values`` are replaced, one by one."""
    levels = [level.clone() for level in levels]
    for (image, anchor, channel), value in values.items():
        level, row, column, number = place(anchor)
        levels[level][image, number * channels + channel, row, column] = value
    return levels


def points(truth: Foreground) -> list[tuple[int, int, int]]:
    """Image, anchor and class of each point."""
    columns = (truth.matches.image, truth.matches.anchor, truth.matches.gt_classes)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def logit(value: float) -> float:
    if value in (0.0, 1.0):
        return math.inf if value else -math.inf
    return math.log(value / (1 - value))


def assert_maps(found: list[Tensor] | None, wanted: list[Tensor]) -> None:
    assert found is not None
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("name", "by_iou"), [("score_one", False), ("score_iou", True)])
def test_the_true_class_and_no_other_gets_the_score(name: str, by_iou: bool) -> None:
    outputs, truth = random_outputs(), foreground()
    scores = truth.matches.ious.tolist() if by_iou else [1.0] * 4
    wanted = {key: logit(score) for key, score in zip(points(truth), scores, strict=True)}
    found = apply_column(BY_NAME[name], outputs, truth)
    assert_maps(found.logits, expected(outputs.logits, CLASSES, wanted))
    assert found.boxes == outputs.boxes


@pytest.mark.parametrize(
    ("name", "values"),
    [("true_centerness", [0.5, 0.9, 0.1, 1.0]), ("iou_centerness", [0.25, 0.0, 1.0, 0.75])],
)
def test_the_points_get_the_centerness(name: str, values: list[float]) -> None:
    outputs, truth = random_outputs(), foreground()
    wanted = {(i, a, 0): logit(v) for (i, a, _), v in zip(points(truth), values, strict=True)}
    found = apply_column(BY_NAME[name], outputs, truth)
    assert outputs.quality is not None
    assert_maps(found.quality, expected(outputs.quality, 1, wanted))
    assert (found.logits, found.boxes) == (outputs.logits, outputs.boxes)


def test_the_last_stage_gets_the_true_boxes() -> None:
    outputs, truth = random_outputs(), foreground()
    wanted = {
        (image, anchor, side): truth.deltas[point, side].item()
        for point, (image, anchor, _) in enumerate(points(truth))
        for side in range(4)
    }
    found = apply_column(BY_NAME["true_boxes_centerness"], outputs, truth)
    assert_maps(found.boxes[1].maps(), expected(outputs.boxes[1].maps(), 4, wanted))
    assert found.boxes[0] is outputs.boxes[0]
    assert found.logits is outputs.logits and found.quality is outputs.quality


def test_the_outputs_given_stay_as_they_were() -> None:
    outputs = random_outputs()
    maps = [*outputs.logits, *(x for stage in outputs.boxes for x in stage.maps())]
    copies = [x.clone() for x in maps]
    for column in COLUMNS:
        apply_column(column, outputs, foreground())
    assert all(map(torch.equal, maps, copies))


def test_scores_of_0_and_1_survive_the_sigmoid() -> None:
    truth = foreground()
    found = apply_column(BY_NAME["score_iou"], random_outputs(), truth)
    assert point_scores(found, truth.matches).tolist() == pytest.approx([0.25, 0.0, 1.0, 0.75])


def test_an_iou_just_above_1_counts_as_1() -> None:
    truth = foreground()
    truth.matches.ious[2] = 1 + 1e-6
    found = apply_column(BY_NAME["score_iou"], random_outputs(), truth)
    assert point_scores(found, truth.matches)[2] == 1


def test_columns_are_the_papers_ten() -> None:
    # Without / with centerness, as VarifocalNet's Table 1 has them.
    assert [column.quality for column in COLUMNS] == [
        *(False, True),  # 38.5 / 39.2
        *(True, True),  # 41.1, 43.5
        *(False, True, False, True, False, True),  # 56.1 / 56.3, 43.1 / 58.1, 74.7 / 67.4
    ]


def test_a_model_without_centerness_has_four_columns() -> None:
    names = [column.name for column in columns_for(quality=False)]
    assert names == ["predicted", "true_boxes", "score_one", "score_iou"]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_centerness_counts_only_in_its_columns(column: object) -> None:
    found = apply_column(column, random_outputs(), foreground())  # type: ignore[arg-type]
    assert (found.quality is not None) == column.quality  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["true_centerness", "iou_centerness"])
def test_centerness_cannot_be_replaced_where_there_is_none(name: str) -> None:
    truth = foreground()._replace(centerness=None)
    with pytest.raises(ValueError, match="no quality branch"):
        apply_column(BY_NAME[name], random_outputs(quality=False), truth)


def test_no_foreground_changes_nothing() -> None:
    outputs, truth = random_outputs(), foreground()
    nothing = Foreground(
        Matches(*(value[:0] for value in truth.matches)), truth.deltas[:0], torch.zeros(0)
    )
    for column in columns_for(quality=True):
        found = apply_column(column, outputs, nothing)
        assert_maps(found.logits, outputs.logits)
        assert_maps(found.boxes[1].maps(), outputs.boxes[1].maps())


def test_unflatten_undoes_flatten() -> None:
    levels = random_outputs().logits
    assert_maps(unflatten(flatten(levels, CLASSES), levels, CLASSES), levels)


@pytest.mark.parametrize("quality", [False, True])
def test_scores_of_the_points(quality: bool) -> None:
    outputs, truth = random_outputs(quality=quality), foreground()
    wanted = []
    for image, anchor, label in points(truth):
        level, row, column, number = place(anchor)
        score = outputs.logits[level][image, number * CLASSES + label, row, column].sigmoid()
        if outputs.quality is not None:
            score = score * outputs.quality[level][image, number, row, column].sigmoid()
        wanted.append(score.item())
    assert point_scores(outputs, truth.matches).tolist() == pytest.approx(wanted)
