"""Tests of vfnet_d2.modeling.dense.detectors.foveabox; parity tests compare its losses."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.structures import Instances
from torch import nn

from tests.helpers.assignments import labelled
from tests.helpers.shrink import shrunk_config
from vfnet_d2.modeling.dense.detectors.foveabox import FoveaBox
from vfnet_d2.modeling.dense.structures import Matches


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small FoveaBox; leave it as it is."""
    return build_model(shrunk_config("baselines/foveabox_R_50_1x"))


def test_is_registered_under_its_name() -> None:
    assert META_ARCH_REGISTRY.get("FoveaBox") is FoveaBox


def test_every_image_adds_one_to_the_classification_s_normaliser(model: nn.Module) -> None:
    labels = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]])
    assert model.cls_normalizer(labelled(labels)) == 3 + 2


def test_boxes_are_divided_by_the_positives(model: nn.Module) -> None:
    labels = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]])
    weights = model.box_weights(matches_of([[0.0, 0, 10, 10]] * 3, [0, 0, 0]))
    assert model.box_normalizer(labelled(labels), weights) == 3


def matches_of(boxes: list[list[float]], image: list[int]) -> Matches:
    """Predictions of objects that all lie at (0, 0) to (20, 10)."""
    index = torch.tensor(image)
    truth = torch.tensor([[0.0, 0.0, 20.0, 10.0]] * len(boxes))
    return Matches(index, index, truth, truth, index, torch.tensor(boxes), torch.zeros(len(boxes)))


def test_the_target_is_the_iou_of_the_box_within_its_own_image(model: nn.Module) -> None:
    # Clipped to 20 x 10 and to 40 x 10 pixels, the same box has 200 / 200 and 200 / 400.
    matches = matches_of([[-5.0, -5.0, 40.0, 15.0]] * 2, [0, 1])
    images = [Instances((10, 20)), Instances((10, 40))]
    assert model.iou_target(matches, images).tolist() == pytest.approx([1.0, 0.5])


def test_the_target_is_never_zero(model: nn.Module) -> None:
    matches = matches_of([[30.0, 0.0, 40.0, 10.0]], [0])
    assert model.iou_target(matches, [Instances((10, 40))]).tolist() == pytest.approx([1e-6])
