"""Tests of vfnet_d2.losses.focal."""

import math

import numpy as np
import pytest
import torch
from fvcore.nn import sigmoid_focal_loss
from torch.nn import functional as F

from tests.helpers.tolerance import in_float64
from vfnet_d2.losses.focal import FocalLoss
from vfnet_d2.losses.registry import ClassificationLoss

# Reference losses ran with this normaliser and one weight a point.
AVG_FACTOR = 14
SETTINGS = [(0.25, 2.0), (0.4, 1.5), (0.5, 0.0)]

Components = dict[str, np.ndarray]


def targets_of(components: Components) -> torch.Tensor:
    """One-hot labels of eight classes; label 8 is background."""
    return F.one_hot(torch.from_numpy(components["qfl.labels"]), 9)[:, :8].double()


@pytest.mark.parametrize(("alpha", "gamma"), SETTINGS)
def test_sum_of_the_reference(alpha: float, gamma: float, components: Components) -> None:
    logits = in_float64(components["vfl.logits"])
    total = FocalLoss(alpha=alpha, gamma=gamma)(logits, targets_of(components))
    stored = components[f"focal.a{alpha}g{gamma}.sum_noweight"].item()
    assert total.item() == pytest.approx(stored, rel=1e-6)


@pytest.mark.parametrize(("alpha", "gamma"), SETTINGS)
def test_gradient_of_the_reference(alpha: float, gamma: float, components: Components) -> None:
    # The stored gradient weights each point; a point's gradient depends on its own logits only.
    logits = in_float64(components["vfl.logits"]).requires_grad_()
    weight = in_float64(components["qfl.weight"])[:, None]
    FocalLoss(alpha=alpha, gamma=gamma)(logits, targets_of(components)).backward()
    gradient = components[f"focal.a{alpha}g{gamma}.grad"]
    np.testing.assert_allclose(logits.grad * weight / AVG_FACTOR, gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("alpha", "gamma"), SETTINGS)
def test_weighted_loss_of_the_reference(alpha: float, gamma: float, components: Components) -> None:
    """What stands behind the module, element by element."""
    logits = in_float64(components["vfl.logits"])
    weight = in_float64(components["qfl.weight"])[:, None]
    loss = sigmoid_focal_loss(logits, targets_of(components), alpha=alpha, gamma=gamma) * weight
    stored = components[f"focal.a{alpha}g{gamma}.loss"].item()
    assert loss.sum().item() / AVG_FACTOR == pytest.approx(stored, rel=1e-6)


def test_hand_computed_values_of_both_kinds() -> None:
    # p = 1/2: a positive costs 0.25 * 0.25 * ln 2, a negative 0.75 * 0.25 * ln 2
    total = FocalLoss()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert total.item() == pytest.approx(0.25 * math.log(2))


def test_targets_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"FocalLoss: logits \(4, 3\) and targets \(4, 1\)"):
        FocalLoss()(torch.zeros(4, 3), torch.zeros(4, 1))


def test_the_module_fits_the_protocol() -> None:
    loss = FocalLoss()
    assert isinstance(loss, ClassificationLoss)
    assert not loss.iou_aware
