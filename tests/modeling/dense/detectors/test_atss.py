"""Tests of vfnet_d2.modeling.dense.detectors.atss; the losses are compared in the parity tests."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch import nn

from tests.helpers.assignments import labelled
from tests.helpers.shrink import shrunk_config
from vfnet_d2.modeling.dense.detectors.atss import ATSS, FCOSATSS
from vfnet_d2.modeling.dense.structures import Matches


@pytest.fixture(scope="module", params=["atss", "fcos_atss"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    """Either detector in a small size; leave it as it is."""
    return build_model(shrunk_config(f"baselines/{request.param}_R_50_1x"))


def test_are_registered_under_their_names() -> None:
    assert META_ARCH_REGISTRY.get("ATSS") is ATSS
    assert META_ARCH_REGISTRY.get("FCOSATSS") is FCOSATSS


def test_a_box_is_weighted_by_its_true_centerness(model: nn.Module) -> None:
    # centre (10, 20) in a box from (0, 0) to (40, 40): sqrt(10 / 30 * 20 / 20)
    index = torch.zeros(1, dtype=torch.long)
    anchor = torch.tensor([[-22.0, -12.0, 42.0, 52.0]])
    box = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    matches = Matches(index, index, anchor, box, index, box, torch.ones(1))
    assert model.box_weights(matches).tolist() == pytest.approx([(1 / 3) ** 0.5])


def test_an_image_without_positives_counts_as_one_in_atss_alone(model: nn.Module) -> None:
    labels = torch.tensor([[1, 1, 0, -1], [0, 0, 0, 0]])
    assert model.cls_normalizer(labelled(labels)) == (3 if isinstance(model, ATSS) else 2)


def test_the_last_box_loss_weight_counts(model: nn.Module) -> None:
    assert model.box_loss_weights[-1] == 2.0
