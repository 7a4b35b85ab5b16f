"""Tests of vfnet_d2.losses.quality_focal."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.tolerance import in_float64
from vfnet_d2.losses.quality_focal import QualityFocalLoss, quality_focal_loss
from vfnet_d2.losses.registry import ClassificationLoss

# Reference losses ran with this normaliser and one weight a point.
AVG_FACTOR = 14

Components = dict[str, np.ndarray]


def targets_of(components: Components) -> torch.Tensor:
    """Quality at the label's column; label 8 is background."""
    labels, score = (torch.from_numpy(components[f"qfl.{k}"]) for k in ("labels", "score"))
    targets = torch.zeros(len(labels), 9)
    targets[torch.arange(len(labels)), labels] = score
    return targets[:, :8]


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_unreduced_values_of_the_reference(beta: float, components: Components) -> None:
    logits = in_float64(components["vfl.logits"])
    loss = quality_focal_loss(logits, targets_of(components), beta=beta).sum(1)
    np.testing.assert_allclose(loss, components[f"qfl.beta{beta}.none"], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_weighted_loss_and_gradient_of_the_reference(beta: float, components: Components) -> None:
    logits = in_float64(components["vfl.logits"]).requires_grad_()
    weight = in_float64(components["qfl.weight"])
    loss = quality_focal_loss(logits, targets_of(components), beta=beta).sum(1) * weight
    total = loss.sum() / AVG_FACTOR
    total.backward()
    assert total.item() == pytest.approx(components[f"qfl.beta{beta}.loss"].item(), rel=1e-6)
    gradient = components[f"qfl.beta{beta}.grad"]
    np.testing.assert_allclose(logits.grad, gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_the_module_is_the_sum_of_the_function(beta: float, components: Components) -> None:
    logits, targets = in_float64(components["vfl.logits"]), targets_of(components)
    total = QualityFocalLoss(beta=beta)(logits, targets)
    stored = components[f"qfl.beta{beta}.none"].astype(np.float64).sum()
    assert total.item() == pytest.approx(stored, rel=1e-6)


def test_a_hand_computed_value() -> None:
    # p = 1/2, q = 0.9: 0.4^2 * ln 2
    loss = quality_focal_loss(torch.zeros(1), torch.tensor([0.9]))
    assert loss.item() == pytest.approx(0.16 * math.log(2))


def test_a_perfect_score_costs_nothing() -> None:
    targets = torch.tensor([0.2, 0.7])
    loss = quality_focal_loss(targets.logit(), targets)
    torch.testing.assert_close(loss, torch.zeros(2), rtol=0, atol=1e-12)


def test_gradient_agrees_with_finite_differences() -> None:
    logits = torch.linspace(-2, 2, 6, dtype=torch.float64).requires_grad_()
    targets = torch.tensor([0, 0, 0, 0.1, 0.5, 1], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: quality_focal_loss(x, targets), logits)


def test_targets_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"quality_focal_loss: logits \(4, 3\) and targets"):
        quality_focal_loss(torch.zeros(4, 3), torch.zeros(3))


def test_the_module_fits_the_protocol() -> None:
    loss = QualityFocalLoss()
    assert isinstance(loss, ClassificationLoss)
    assert loss.iou_aware
