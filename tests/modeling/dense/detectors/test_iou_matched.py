"""Tests of vfnet_d2.modeling.dense.detectors.iou_matched, on the RetinaNet made from it."""

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from tests.helpers.assignments import labelled
from tests.helpers.shrink import shrunk_config
from vfnet_d2.modeling.dense.structures import Matches


@pytest.fixture(scope="module", params=["FocalLoss", "VarifocalLoss"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    """A small RetinaNet; leave it as it is."""
    name = "MODEL.ONE_STAGE.CLS_LOSS.NAME"
    return build_model(shrunk_config("baselines/retinanet_R_50_1x", name, request.param))


def test_ambiguous_anchors_and_padding_train_no_classifier(model: nn.Module) -> None:
    labels = torch.tensor([[1, 0, -1]])
    counted = model.classified(labelled(labels))
    assert counted.tolist() == [[True, True, False]]


def test_both_normalisers_count_positives_and_at_least_one_an_image(model: nn.Module) -> None:
    labels = torch.tensor([[1, 1, 0, -1], [0, 0, 0, 0]])
    found = labelled(labels)
    assert model.cls_normalizer(found) == model.box_normalizer(found, torch.rand(2)) == 3


def test_a_box_that_misses_its_object_has_target_zero(model: nn.Module) -> None:
    index, boxes = torch.zeros(2, dtype=torch.long), torch.zeros(2, 4)
    matches = Matches(index, index, boxes, boxes, index, boxes, torch.tensor([0.25, 0.0]))
    assert model.iou_target(matches, []).tolist() == [0.25, 0.0]
