"""What vfnet_d2.modeling.dense.matchers.atss costs: its operations, not its time."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.atss_cases import anchors_over, random_boxes, targets_of
from vfnet_d2.modeling.dense.matchers import atss, window_search
from vfnet_d2.modeling.dense.matchers.atss import ATSSMatcher


class _LargestResult(TorchDispatchMode):
    """Remember the number of elements of the largest tensor that any operation returns."""

    largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, Tensor):
                self.largest = max(self.largest, value.numel())
        return result


def largest_result(anchors: list[Boxes], target: Instances) -> int:
    with _LargestResult() as watched:
        ATSSMatcher()(anchors, [target])
    return watched.largest


def test_no_intermediate_compares_all_boxes_with_all_anchors() -> None:
    boxes = random_boxes(np.random.default_rng(8), 3000, 800, 1333)
    anchors = anchors_over(800, 1344)
    # 3,000 boxes, the 9 nearest cells of 5 levels, and x and y of two corners
    assert largest_result(anchors, targets_of(boxes, (800, 1333))) <= 3000 * 5 * 9 * 4
    assert sum(len(level) for level in anchors) == 22_400  # a dense matrix has 120 times that


def test_intermediates_do_not_grow_beyond_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atss, "BLOCK", 1000)
    boxes = random_boxes(np.random.default_rng(11), 3000, 800, 1333)
    block, all_three = (
        largest_result(anchors_over(800, 1344), targets_of(boxes[:count], (800, 1333)))
        for count in (1000, 3000)
    )
    assert block == all_three


def test_hardly_any_box_needs_the_wide_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = Counter[int]()

    def counting(pairs: Any, topk: int, *, width: int) -> Any:
        searched[width] += pairs.centre.shape[1]
        return search(pairs, topk, width=width)

    search = window_search._search
    monkeypatch.setattr(window_search, "_search", counting)
    rng = np.random.default_rng(10)
    centre, half = rng.uniform(0, (1333, 800), (3000, 2)), rng.uniform(2, 400, (3000, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    ATSSMatcher()(anchors_over(800, 1344), [targets_of(boxes, (800, 1333))])
    narrow, wide = sorted(searched)
    assert (narrow, wide) == (5, 10)
    assert searched[narrow] == 3000 * 5
    assert searched[wide] < 3000 * 5 / 100


def test_intermediates_do_not_grow_with_the_image() -> None:
    boxes = random_boxes(np.random.default_rng(9), 3000, 400, 400)
    small, large = (
        largest_result(anchors_over(side, side), targets_of(boxes, (side, side)))
        for side in (416, 1120)
    )
    assert small == large
