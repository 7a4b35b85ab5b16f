"""Tests of vfnet_d2.modeling.dense.detectors.reppoints; parity tests compare its losses."""

from collections.abc import Sequence

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import nn

from tests.helpers.shrink import shrunk_config
from vfnet_d2.modeling.dense.matchers.max_iou import MaxIoUMatcher
from vfnet_d2.modeling.dense.matchers.point import PointMatcher
from vfnet_d2.modeling.dense.structures import Assignment, DenseBoxes, assign_each_anchor


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small RepPoints; leave it as it is."""
    cfg = shrunk_config("baselines/reppoints_R_50_1x")
    cfg.MODEL.ONE_STAGE.INITIAL_MATCHER.PointMatcher.TOPK = 2
    return build_model(cfg)


class Spy:
    """A matcher that remembers its arguments."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.predicted: Sequence[Boxes] | None = None
        self.padded_sizes: Sequence[tuple[int, int]] | None = None

    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
        *,
        padded_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Assignment:
        """Return what it was made with."""
        self.predicted = predicted
        self.padded_sizes = padded_sizes
        return self.assignment


def test_the_matchers_come_from_the_config(model: nn.Module) -> None:
    assert isinstance(model.initial_matcher, PointMatcher) and model.initial_matcher.topk == 2
    assert isinstance(model.matcher, MaxIoUMatcher)


def test_refinement_is_matched_by_the_initial_boxes(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = torch.zeros(1, 2, dtype=torch.int8)
    first, second = (assign_each_anchor(labels.long(), labels + value) for value in (0, 1))
    spies = Spy(first), Spy(second)
    monkeypatch.setattr(model, "initial_matcher", spies[0])
    monkeypatch.setattr(model, "matcher", spies[1])
    # of sides 32 around (0, 0) and (8, 0)
    anchors = [Boxes(torch.tensor([[-16.0, -16, 16, 16], [-8.0, -16, 24, 16]]))]
    initial = torch.tensor([[[-0.5, -0.25, 0.5, 0.25], [0.25, 0.0, 0.5, 1.0]]])
    levels = [
        x.transpose(1, 2)[:, :, None] for x in (initial.requires_grad_(), torch.zeros(1, 2, 4))
    ]
    deltas = [DenseBoxes([level]) for level in levels]
    assert model.assign(anchors, [Instances((32, 32))], deltas) == [first, second]
    assert spies[0].predicted is None
    assert [spy.padded_sizes for spy in spies] == [[(32, 32)]] * 2
    # 32 x the corners + the centres
    (boxes,) = spies[1].predicted
    assert boxes.tensor.tolist() == [[-16, -8, 16, 8], [16, 0, 24, 32]]
    assert not boxes.tensor.requires_grad
