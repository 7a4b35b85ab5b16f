"""Tests of vfnet_d2.modeling.dense.matchers.uniform."""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances
from torch import Tensor

from tests.helpers.reference import DATA
from vfnet_d2.losses.box import paired_iou
from vfnet_d2.modeling.dense.box_coders import ClampedShiftDeltas
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY, Matcher
from vfnet_d2.modeling.dense.matchers.uniform import UniformMatcher
from vfnet_d2.modeling.dense.structures import Assignment, last_pairs

STRIDE = 32
TIES = 7


def five_anchors(rows: int, columns: int) -> list[Boxes]:
    """YOLOF's anchors on a map of that size."""
    generator = DefaultAnchorGenerator(
        sizes=[[32, 64, 128, 256, 512]], aspect_ratios=[[1.0]], strides=[STRIDE], offset=0.0
    )
    return generator([torch.zeros(1, 1, rows, columns)])


def target(boxes: Tensor, rows: int, columns: int) -> Instances:
    return Instances((rows * STRIDE, columns * STRIDE), gt_boxes=Boxes(boxes))


class Case(NamedTuple):
    """One image to match."""

    anchors: list[Boxes]
    predicted: Tensor
    gt_boxes: Tensor
    size: tuple[int, int]

    def match(self, matcher: UniformMatcher | None = None) -> Assignment:
        """Match it, without padding."""
        rows, columns = self.size
        return (matcher or UniformMatcher())(
            self.anchors, [target(self.gt_boxes, rows, columns)], [Boxes(self.predicted)]
        )


class Stored(NamedTuple):
    """A case and what the reference made of it."""

    case: Case
    labels: Tensor
    gt_inds: Tensor
    pairs: Tensor


def stored(number: int) -> Stored:
    """A matching of the reference."""
    with np.load(DATA / "yolof_components.npz") as arrays:
        about = json.loads(str(arrays["meta_json"]))["assign_cases"][number]
        values = {
            name.rpartition(".")[2]: torch.from_numpy(arrays[name])
            for name in arrays.files
            if name.startswith(f"assign.{number}.")
        }
    anchors = five_anchors(*about["feat_hw"])
    predicted = ClampedShiftDeltas().apply_deltas(values["deltas"], anchors[0].tensor)
    gt_inds = values["gt_inds"].long()
    pairs = torch.zeros(0, dtype=torch.int64)
    if len(values["gt"]):
        pairs = values["pair_anchor"].long()[values["pair_used"]]
    case = Case(anchors, predicted, values["gt"], tuple(about["feat_hw"]))
    return Stored(case, gt_inds.clamp(max=1), gt_inds, pairs)


@pytest.mark.parametrize("number", range(8))
def test_stored_matchings(number: int) -> None:
    """Labels, boxes and pairs, in order.

    Case 7 has boxes whose 4th and 5th anchor tie. Its labels are what the reference's calls made of
    that; its pairs were listed by another rule for ties, and are for information.
    """
    expected = stored(number)
    found = expected.case.match()
    assert torch.equal(found.labels[0].long(), expected.labels)
    if number != TIES:
        assert found.anchor.tolist() == expected.pairs.tolist()
    last = last_pairs(found)
    taken = torch.zeros_like(expected.gt_inds)
    taken[found.anchor[last]] = found.gt[last] + 1
    assert torch.equal(taken, expected.gt_inds.clamp(min=0))


def naive(case: Case, *, times: int = 4) -> tuple[list[int], list[tuple[int, int]]]:
    """Labels and pairs, rule by rule, with Python's own numbers and sort: no two may tie."""

    def numbers(boxes: Tensor) -> list[tuple[float, ...]]:
        low, high = boxes[:, :2], boxes[:, 2:]
        return [tuple(row) for row in torch.cat([(low + high) / 2, high - low], 1).tolist()]

    anchors = case.anchors[0].tensor
    labels = [0] * len(anchors)
    for number, box in enumerate(case.predicted):
        if (paired_iou(box[None], case.gt_boxes) > 0.7).any():
            labels[number] = -1
    ranked = []
    for boxes in (case.predicted, anchors):
        rows = numbers(boxes)
        for gt in numbers(case.gt_boxes):
            far = [sum(abs(a - b) for a, b in zip(row, gt, strict=True)) for row in rows]
            ranked.append(sorted(range(len(rows)), key=far.__getitem__)[:times])
    pairs = []
    for rank in range(times):
        for column, order in enumerate(ranked):
            anchor, gt = order[rank], column % len(case.gt_boxes)
            overlap = paired_iou(anchors[anchor][None], case.gt_boxes[gt][None]).item()
            labels[anchor] = 1 if overlap >= 0.15 else -1
            if overlap >= 0.15:
                pairs.append((anchor, gt))
    return labels, pairs


def random_case(seed: int, count: int = 12) -> Case:
    generator = torch.Generator().manual_seed(seed)
    size = (6, 8)
    regular = five_anchors(*size)[0].tensor
    # Off the grid, on which anchors tie.
    anchors = [Boxes(regular + torch.rand(regular.shape, generator=generator))]
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([200.0, 140.0])
    sides = 8 + torch.rand(count, 2, generator=generator) * 200
    gt_boxes = torch.cat([corner, corner + sides], dim=1)
    flat = anchors[0].tensor
    predicted = flat + 6 * torch.randn(flat.shape, generator=generator)
    # Some predictions are good.
    good = gt_boxes[torch.arange(len(predicted[::7])) % count]
    predicted[::7] = good + torch.rand(good.shape, generator=generator)
    return Case(anchors, predicted, gt_boxes, size)


@pytest.mark.parametrize("seed", range(6))
def test_matches_the_naive_rules(seed: int) -> None:
    case = random_case(seed)
    labels, pairs = naive(case)
    found = case.match()
    assert found.labels[0].tolist() == labels
    assert list(zip(found.anchor.tolist(), found.gt.tolist(), strict=True)) == pairs
    # The cases are worth something: repeated pairs, ignored predictions, anchors of two objects.
    assert len(set(pairs)) < len(pairs) and -1 in labels


def test_the_last_pair_decides_also_an_ignoring_one() -> None:
    """One anchor in all, which both boxes claim: as a prediction and as an anchor."""
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 64.0, 64.0]]))]
    predicted = torch.tensor([[300.0, 300.0, 310.0, 310.0]])
    near, far = [4.0, 4.0, 60.0, 60.0], [60.0, 60.0, 200.0, 200.0]
    for boxes, label in (([near, far], -1), ([far, near], 1)):
        found = Case(anchors, predicted, torch.tensor(boxes), (7, 7)).match()
        assert found.labels.tolist() == [[label]]
        # The near box makes its pairs whatever the label: once as prediction and once as anchor.
        assert found.gt.tolist() == [boxes.index(near)] * 2
        assert last_pairs(found).tolist() == [False, label == 1]


def test_a_positive_overrides_a_good_prediction() -> None:
    box = torch.tensor([[4.0, 4.0, 60.0, 60.0]])
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 64.0, 64.0], [500.0, 500.0, 564.0, 564.0]]))]
    found = Case(anchors, box.repeat(2, 1), box, (20, 20)).match(UniformMatcher(match_times=1))
    assert found.labels.tolist() == [[1, -1]]


def test_anchors_beyond_an_image_s_own_padding_take_no_part() -> None:
    anchors = five_anchors(4, 6)
    flat = anchors[0].tensor
    boxes = [torch.tensor([[150.0, 20.0, 190.0, 100.0]]), torch.tensor([[10.0, 10.0, 50.0, 60.0]])]
    targets = [target(boxes[0], 4, 6), Instances((90, 60), gt_boxes=Boxes(boxes[1]))]
    found = UniformMatcher()(
        anchors, targets, [Boxes(flat), Boxes(flat)], padded_sizes=[(128, 192), (96, 64)]
    )
    inside = (flat[:, :2] + flat[:, 2:]) / 2 < torch.tensor([64.0, 96.0])
    assert (found.labels[0] >= 0).sum() > inside.all(dim=1).sum()
    assert (found.labels[1][~inside.all(dim=1)] == -1).all()
    assert inside.all(dim=1)[found.anchor[found.image == 1]].all()
    # Alone, with the same padding, the second image is matched the same.
    alone = UniformMatcher()(five_anchors(3, 2), targets[1:], [Boxes(five_anchors(3, 2)[0].tensor)])
    assert alone.gt.tolist() == found.gt[found.image == 1].tolist()
    both = (five_anchors(3, 2)[0].tensor[alone.anchor], flat[found.anchor[found.image == 1]])
    assert torch.equal(*both)


def test_images_without_boxes_and_maps_of_one_cell() -> None:
    anchors = five_anchors(1, 1)
    flat = Boxes(anchors[0].tensor)
    none, one = torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 24.0, 25.0]])
    found = UniformMatcher(match_times=8)(
        anchors, [target(none, 1, 1), target(one, 1, 1)], [flat, flat]
    )
    assert (found.labels[0] == 0).all()
    assert set(found.image.tolist()) == {1}
    empty = UniformMatcher()(anchors, [target(none, 1, 1)], [flat])
    assert len(empty.gt) == 0 and (empty.labels == 0).all()


def test_is_a_registered_matcher_that_needs_predictions() -> None:
    assert isinstance(MATCHER_REGISTRY.get("UniformMatcher")(), Matcher)
    with pytest.raises(ValueError, match="needs the predicted boxes"):
        UniformMatcher()(five_anchors(1, 1), [target(torch.zeros(0, 4), 1, 1)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: UniformMatcher(match_times=0),
        lambda: UniformMatcher(negative_iou=1.5),
        lambda: UniformMatcher(positive_iou=-0.1),
    ],
)
def test_settings_out_of_range(make: Callable[[], UniformMatcher]) -> None:
    with pytest.raises(ValueError, match=r"match_times .* must be 1 or more"):
        make()
