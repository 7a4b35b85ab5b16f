"""Tests of vfnet_d2.layers.soft_nms."""

from functools import partial

import pytest
import torch

from tests.helpers.naive_suppression import naive_soft_nms, random_candidates
from vfnet_d2.layers.soft_nms import DECAYS, gaussian_decay, linear_decay, soft_nms

LINEAR = partial(linear_decay, iou_thresh=0.3, sigma=0.5)


@pytest.mark.parametrize("method", DECAYS)
@pytest.mark.parametrize("seed", range(3))
def test_is_the_naive_loop(method: str, seed: int) -> None:
    candidates = random_candidates(70, seed)
    options = {"iou_thresh": 0.3, "sigma": 0.5}
    decay = partial(DECAYS[method], **options)
    keep, scores = soft_nms(*candidates, decay=decay, min_score=0.2, limit=1000)
    expected = naive_soft_nms(*candidates, method=method, min_score=0.2, **options)
    assert 20 < len(expected) < 70
    assert keep.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(scores, torch.tensor([score for _, score in expected]))


def test_linear_by_hand() -> None:
    # The second box shares 80 of 120 with the first, IoU 2/3: 0.9 * (1 - 2/3) = 0.3. The third
    # shares 20 of 180, IoU 1/9, which is below 0.3.
    boxes = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [8.0, 0, 18, 10]])
    keep, scores = soft_nms(
        boxes,
        torch.tensor([1.0, 0.9, 0.8]),
        torch.zeros(3),
        decay=LINEAR,
        min_score=1e-3,
        limit=10,
    )
    # Box 1 and box 2 share 40 of 160, IoU 1/4: no decay either.
    assert keep.tolist() == [0, 2, 1]
    assert scores.tolist() == pytest.approx([1.0, 0.8, 0.3])


def test_gaussian_by_hand() -> None:
    # exp(-(1/2)^2 / 0.5) = exp(-1/2)
    assert gaussian_decay(torch.tensor(0.5), 0.9, 0.5).item() == pytest.approx(0.60653066)


def test_an_overlap_equal_to_the_threshold_counts() -> None:
    decayed = linear_decay(torch.tensor([0.49, 0.5]), 0.5, 0.5)
    assert decayed.tolist() == [1.0, 0.5]


def test_the_limit_takes_the_first_of_all() -> None:
    candidates = random_candidates(70, 5)
    everything, _ = soft_nms(*candidates, decay=LINEAR, min_score=1e-3, limit=1000)
    first, _ = soft_nms(*candidates, decay=LINEAR, min_score=1e-3, limit=9)
    assert first.tolist() == everything[:9].tolist()


def test_equal_boxes_are_taken_once() -> None:
    # IoU 1 leaves a score of 0, which is below any lowest score.
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 4)
    scores = torch.tensor([0.5, 0.9, 0.7, 0.6])
    keep, _ = soft_nms(boxes, scores, torch.zeros(4), decay=LINEAR, min_score=1e-9, limit=10)
    assert keep.tolist() == [1]


def test_the_scores_given_stay_as_they_are() -> None:
    boxes, scores, classes = random_candidates(20, 1)
    before = scores.clone()
    soft_nms(boxes, scores, classes, decay=LINEAR, min_score=1e-3, limit=10)
    assert torch.equal(scores, before)


def test_nothing_gives_nothing() -> None:
    keep, scores = soft_nms(
        torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), decay=LINEAR, min_score=0.1, limit=5
    )
    assert len(keep) == len(scores) == 0
