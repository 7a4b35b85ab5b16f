"""Tests of vfnet_d2.modeling.dense.postprocess."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.ops import box_iou

from benchmarks.plain import NMSOfAll, select_pairs_of_all
from tests.helpers.naive_suppression import random_candidates
from vfnet_d2.modeling import suppression as suppression_module
from vfnet_d2.modeling.dense.postprocess import (
    CANDIDATE_SELECTORS,
    decode_level,
    deltas_at,
    detect,
    select_pairs,
    select_points,
    suppress_image,
)
from vfnet_d2.modeling.dense.structures import BoxStage, DenseBoxes, HeadOutputs
from vfnet_d2.modeling.detector import InferenceSettings
from vfnet_d2.modeling.suppression import ClasswiseNMS, Suppression

SIZE = (80, 100)


class KeepAll:
    """No suppression; remembers what it was given."""

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """Keep everything."""
        self.boxes = boxes
        return torch.arange(len(boxes)), scores


class Sigmoids(TorchDispatchMode):
    """Counts the elements whose sigmoid is taken."""

    elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation and count."""
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.sigmoid.default:
            self.elements += result.numel()
        return result


def naive_nms(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> list[int]:
    """Greedy suppression within each class, best first."""
    iou = box_iou(boxes, boxes)
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        rivals = [k for k in kept if classes[k] == classes[index]]
        if all(iou[k, index] <= threshold for k in rivals):
            kept.append(index)
    return kept


def finish(
    boxes: list[list[float]], scores: list[float], classes: list[int], **options: object
) -> Instances:
    level = (torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes))
    defaults = {"suppression": ClasswiseNMS(0.6), "max_detections": 100}
    return suppress_image([level], SIZE, **(defaults | options))


def chosen(select: Any, scores: Tensor, **options: float) -> list[tuple[int, int]]:
    """The (anchor, class) pairs that are selected from the logits of scores."""
    anchor, category, kept = select(scores.logit(), **options)
    torch.testing.assert_close(kept, scores[anchor, category])
    return list(zip(anchor.tolist(), category.tolist(), strict=True))


@pytest.mark.parametrize("select", CANDIDATE_SELECTORS.values())
def test_a_score_equal_to_the_threshold_is_not_enough(select: Any) -> None:
    # the sigmoid of 0 is exactly 1/2
    logits = torch.tensor([[3.0, 0.0], [1e-6, -torch.inf]])
    anchor, category, _ = select(logits, score_thresh=0.5, topk=10)
    assert sorted(zip(anchor.tolist(), category.tolist(), strict=True)) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("select", [select_pairs, select_pairs_of_all])
def test_pairs_are_counted_one_by_one_best_first(select: Any) -> None:
    scores = torch.tensor([[0.9, 0.8], [0.7, 0.3], [0.6, 0.1]])
    assert chosen(select, scores, score_thresh=0.05, topk=3) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("select", [select_pairs, select_pairs_of_all])
@pytest.mark.parametrize("topk", [1, 20, 500])
@pytest.mark.parametrize("score_thresh", [0.0, 0.3])
def test_pairs_are_the_best_of_all(topk: int, score_thresh: float, select: Any) -> None:
    scores = torch.rand(60, 7, generator=torch.Generator().manual_seed(topk))
    order = scores.flatten().argsort(descending=True).tolist()
    expected = [(k // 7, k % 7) for k in order if scores.flatten()[k] > score_thresh][:topk]
    assert chosen(select, scores, score_thresh=score_thresh, topk=topk) == expected


def test_few_pairs_are_looked_at() -> None:
    logits = torch.zeros(60, 7)
    looked_at = {}
    for unit, select in {**CANDIDATE_SELECTORS, "all": select_pairs_of_all}.items():
        with Sigmoids() as sigmoids:
            select(logits, score_thresh=0.05, topk=4)
        looked_at[unit] = sigmoids.elements
    assert looked_at == {"pairs": 4 * 7, "all": 60 * 7, "points": 4 * 7}


def test_points_are_counted_with_all_their_classes() -> None:
    scores = torch.tensor([[0.9, 0.8], [0.7, 0.3], [0.6, 0.1]])
    pairs = set(chosen(select_points, scores, score_thresh=0.05, topk=2))
    assert pairs == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("select", CANDIDATE_SELECTORS.values())
def test_nothing_above_the_threshold_selects_nothing(select: Any) -> None:
    assert chosen(select, torch.full((4, 3), 0.01), score_thresh=0.05, topk=2) == []


def test_candidates_are_decoded_with_their_own_anchor() -> None:
    anchors = torch.tensor([[0.0, 0, 2, 2], [10.0, 10, 12, 12], [20.0, 20, 22, 22]])
    deltas = torch.tensor([[0.0] * 4, [1.0] * 4, [2.0] * 4])
    logits = torch.tensor([[-9.0, -9.0], [-9.0, 1.0], [2.0, -9.0]])
    picked = select_pairs(logits, score_thresh=0.05, topk=10)
    boxes, scores, classes = decode_level(
        picked, deltas[picked[0]], anchors, decode=lambda delta, anchor: anchor + delta
    )
    assert boxes.tolist() == [[22, 22, 24, 24], [11, 11, 13, 13]]
    torch.testing.assert_close(scores, torch.tensor([2.0, 1.0]).sigmoid())
    assert classes.tolist() == [0, 1]


def test_boxes_are_clipped_to_the_image() -> None:
    result = finish([[-5.0, -6, 120, 90]], [0.9], [0])
    assert result.pred_boxes.tensor.tolist() == [[0, 0, 100, 80]]
    assert result.image_size == SIZE


def test_clipping_precedes_suppression() -> None:
    # outside the image the boxes differ (IoU 0.5), inside they are the same
    result = finish([[50.0, 0, 100, 80], [50.0, 0, 150, 80]], [0.9, 0.8], [0, 0])
    assert result.scores.tolist() == pytest.approx([0.9])


def test_empty_boxes_go_before_suppression() -> None:
    spy = KeepAll()
    boxes = [[10.0, 10, 20, 20], [30.0, 30, 30, 40], [101.0, 5, 150, 20]]
    result = finish(boxes, [0.5, 0.9, 0.8], [0, 0, 0], suppression=spy)
    assert spy.boxes.tolist() == result.pred_boxes.tensor.tolist() == [[10, 10, 20, 20]]


def test_the_best_of_all_levels_remain() -> None:
    levels = [random_candidates(40, seed) for seed in (1, 2)]
    result = suppress_image(levels, SIZE, suppression=ClasswiseNMS(0.6), max_detections=7)
    boxes, scores, classes = (torch.cat(parts) for parts in zip(*levels, strict=True))
    best = naive_nms(boxes, scores, classes, 0.6)[:7]
    assert torch.equal(result.pred_boxes.tensor, boxes[best])
    assert torch.equal(result.scores, scores[best])
    assert torch.equal(result.pred_classes, classes[best])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.3, 0.6])
@pytest.mark.parametrize("limit", [1, 3, 30, 100])
@pytest.mark.parametrize("kind", [ClasswiseNMS, NMSOfAll])
def test_suppression_is_the_naive_loop(
    seed: int, threshold: float, limit: int, kind: type[ClasswiseNMS]
) -> None:
    boxes, scores, classes = random_candidates(80, seed)
    keep, kept_scores = kind(threshold)(boxes, scores, classes, limit=limit)
    expected = naive_nms(boxes, scores, classes, threshold)
    assert len(expected) < 80
    np.testing.assert_array_equal(keep[:limit], expected[:limit])
    assert torch.equal(kept_scores[:limit], scores[expected][:limit])


def test_the_best_candidates_are_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counting(boxes: Tensor, *others: Any) -> Tensor:
        seen.append(len(boxes))
        return nms(boxes, *others)

    nms = suppression_module.batched_nms
    monkeypatch.setattr(suppression_module, "batched_nms", counting)
    boxes, scores, classes = random_candidates(40, 0)
    ClasswiseNMS(0.6)(boxes, scores, classes, limit=2)
    assert seen == [20]


def test_suppression_falls_back_to_all_candidates() -> None:
    # for two detections it first looks at the twenty best, and they are all one object
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 25 + [[50.0, 50, 60, 60]] * 5)
    scores, classes = torch.linspace(0.9, 0.1, 30), torch.zeros(30, dtype=torch.long)
    keep, _ = ClasswiseNMS(0.6)(boxes, scores, classes, limit=2)
    assert keep.tolist() == [0, 25]


def test_equal_boxes_of_different_classes_both_stay() -> None:
    result = finish([[10.0, 10, 50, 50]] * 2, [0.9, 0.8], [0, 1])
    assert result.pred_classes.tolist() == [0, 1]


def test_an_image_without_candidates_has_no_detections() -> None:
    level = (torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    result = suppress_image([level] * 5, SIZE, suppression=ClasswiseNMS(0.6), max_detections=100)
    assert len(result) == 0 and result.has("pred_boxes") and result.has("scores")


def detected(
    outputs: HeadOutputs, anchors: Tensor, sizes: list[tuple[int, int]]
) -> list[Instances]:
    """Detections of one level and one class."""
    return detect(
        outputs,
        [anchors],
        sizes,
        num_classes=1,
        select=select_pairs,
        topk=10,
        decode=lambda delta, anchor: anchor + delta,
        settings=InferenceSettings(0.05, 100, ClasswiseNMS(0.6)),
    )


def test_each_image_is_detected_with_its_own_predictions_and_size() -> None:
    # one level of two anchors; the second image sees only the second, and clips it
    anchors = torch.tensor([[0.0, 0, 10, 10], [20.0, 20, 40, 40]])
    logits = torch.tensor([[2.0, 1.0], [-9.0, 3.0]]).view(2, 1, 1, 2)
    outputs = HeadOutputs(logits=[logits], boxes=[DenseBoxes([torch.zeros(2, 4, 1, 2)])])
    first, second = detected(outputs, anchors, [(80, 100), (30, 35)])
    assert first.pred_boxes.tensor.tolist() == anchors.tolist()
    assert second.pred_boxes.tensor.tolist() == [[20, 20, 35, 30]]
    assert (first.image_size, second.image_size) == ((80, 100), (30, 35))


def test_the_last_stage_s_own_boxes_are_taken() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [20.0, 20, 40, 40]])
    logits = torch.tensor([[2.0, -9.0], [-9.0, 3.0]]).view(2, 1, 1, 2)
    deltas = torch.arange(16.0).view(2, 4, 1, 2)  # of the first image 0 2 4 6 and 1 3 5 7
    first, second = detected(
        HeadOutputs([logits], [DenseBoxes([torch.full((2, 4, 1, 2), 50.0)]), DenseBoxes([deltas])]),
        anchors,
        [(80, 100)] * 2,
    )
    assert first.pred_boxes.tensor.tolist() == [[0, 2, 14, 16]]
    assert second.pred_boxes.tensor.tolist() == [[29, 31, 53, 55]]


class RecordedBoxes(BoxStage):
    """Deltas that name their image and anchor; remembers which were asked for."""

    def maps(self) -> list[Tensor]:
        """Nothing else may be computed."""
        raise AssertionError("all maps were computed")

    def at(self, image: Tensor, anchor: Tensor) -> Tensor:
        """100 x image + anchor, four times."""
        self.asked = list(zip(image.tolist(), anchor.tolist(), strict=True))
        return (100.0 * image + anchor)[:, None].expand(-1, 4)


def test_boxes_on_demand_are_asked_for_chosen_anchors_only() -> None:
    # two images; levels of 3 and 2 anchors
    boxes = RecordedBoxes()
    chosen = [
        [torch.tensor([2, 0]), torch.tensor([1])],
        [torch.tensor([], dtype=torch.long), torch.tensor([0, 1])],
    ]
    found = deltas_at(boxes, chosen, [3, 2])
    assert boxes.asked == [(0, 2), (0, 0), (0, 4), (1, 3), (1, 4)]
    assert [[level[:, 0].tolist() for level in levels] for levels in found] == [
        [[2, 0], [4]],
        [[], [103, 104]],
    ]


def test_detection_asks_for_candidates_only() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [20.0, 20, 40, 40]])
    logits = torch.tensor([[2.0, 1.0], [-9.0, 3.0]]).view(2, 1, 1, 2)
    boxes = RecordedBoxes()
    detected(HeadOutputs(logits=[logits], boxes=[boxes]), anchors, [(80, 100)] * 2)
    assert boxes.asked == [(0, 0), (0, 1), (1, 1)]


def test_suppression_fits_the_protocol() -> None:
    assert isinstance(ClasswiseNMS(0.6), Suppression)


def test_quality_ranks_what_the_class_score_selects() -> None:
    # both pass the threshold by class score; the better class score has the worse quality
    logits = torch.tensor([[2.0], [1.0], [-4.0]])
    quality = torch.tensor([-1.0, 3.0, 9.0])
    _, scores, _ = decode_level(
        select_pairs(logits, score_thresh=0.5, topk=10),
        torch.zeros(2, 4),
        torch.zeros(3, 4),
        quality,
        decode=lambda deltas, anchors: deltas,
    )
    sigmoid = [1 / (1 + np.exp(-x)) for x in (2.0, 1.0, -1.0, 3.0)]
    expected = [sigmoid[0] * sigmoid[2], sigmoid[1] * sigmoid[3]]
    assert scores.tolist() == pytest.approx(expected)
