"""Tests of vfnet_d2.losses.registry."""

import pytest
from torch import nn

from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY, CLS_LOSS_REGISTRY, ClassificationLoss


def test_the_classification_losses_are_registered() -> None:
    assert {"FocalLoss", "QualityFocalLoss", "VarifocalLoss"} <= {k for k, _ in CLS_LOSS_REGISTRY}


def test_the_box_loss_is_registered() -> None:
    assert "GIoULoss" in {name for name, _ in BOX_LOSS_REGISTRY}


@pytest.mark.parametrize("name", sorted(name for name, _ in CLS_LOSS_REGISTRY))
def test_every_classification_loss_fits_the_protocol(name: str) -> None:
    assert isinstance(CLS_LOSS_REGISTRY.get(name)(), ClassificationLoss)


def test_a_loss_that_does_not_say_what_it_wants_does_not_fit() -> None:
    assert not isinstance(nn.BCEWithLogitsLoss(), ClassificationLoss)
