"""Tests of vfnet_d2.losses.varifocal."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.tolerance import epsilon, in_float64
from vfnet_d2.losses.registry import ClassificationLoss
from vfnet_d2.losses.varifocal import VarifocalLoss, varifocal_loss

# Reference losses ran with this normaliser and, where their name says so, this factor.
AVG_FACTOR = 14
LOSS_WEIGHT = 1.5

Components = dict[str, np.ndarray]


def scalar_varifocal(logit: float, q: float, alpha: float, gamma: float) -> float:
    """Eq. 2 of the paper, letter by letter."""
    p = 1 / (1 + math.exp(-logit))
    if q > 0:
        return -q * (q * math.log(p) + (1 - q) * math.log(1 - p))
    return -alpha * p**gamma * math.log(1 - p)


@pytest.mark.parametrize("combination", range(60))
def test_values_and_gradients_of_the_reference(combination: int, components: Components) -> None:
    alpha, gamma, weighted = components["vfl.combos_alpha_gamma_iouweighted"][combination]
    loss = VarifocalLoss(alpha=alpha, gamma=gamma, iou_weighted=bool(weighted))
    logits = in_float64(components["vfl.logits"]).requires_grad_()
    total = loss(logits, in_float64(components["vfl.target"]))
    (total / AVG_FACTOR).backward()
    assert total.item() == pytest.approx(components["vfl.loss_sum"][combination], rel=1e-6)
    assert total.item() / AVG_FACTOR == pytest.approx(
        components["vfl.loss_avg14"][combination], rel=1e-6
    )
    gradient = components["vfl.grad_avg14"][combination]
    np.testing.assert_allclose(logits.grad, gradient, rtol=1e-5, atol=1e-8)


def test_unreduced_values_of_the_reference(components: Components) -> None:
    logits, targets = (in_float64(components[f"vfl.{k}"]) for k in ("logits", "target"))
    loss = varifocal_loss(logits, targets)
    # The reference subtracts numbers as large as the logit, which float32 spaces by epsilon times
    # that, and weighs the difference by 0.75 sigmoid(x)**2 or, of a positive, by its target.
    weight = torch.where(targets > 0, targets, 0.75 * logits.sigmoid().square())
    bound = LOSS_WEIGHT * weight * epsilon() * logits.abs() + 1e-6 * loss
    assert ((LOSS_WEIGHT * loss - in_float64(components["vfl.none"])).abs() <= bound).all()


def test_elements_can_be_weighted_before_reduction(components: Components) -> None:
    logits, targets, weight = (
        in_float64(components[f"vfl.{k}"]) for k in ("logits", "target", "weight")
    )
    loss = LOSS_WEIGHT * weight * varifocal_loss(logits, targets)
    assert loss.mean().item() == pytest.approx(
        components["vfl.weighted_mean_lw1.5"].item(), rel=1e-6
    )
    assert loss.sum().item() / AVG_FACTOR == pytest.approx(
        components["vfl.weighted_avg14_lw1.5"].item(), rel=1e-6
    )


@pytest.mark.parametrize("q", [0.0, 1e-6, 0.3, 1.0])
@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.5])
def test_equation_2_for_a_single_score(logit: float, q: float) -> None:
    loss = varifocal_loss(
        torch.tensor([logit], dtype=torch.float64),
        torch.tensor([q], dtype=torch.float64),
        alpha=0.5,
        gamma=1.5,
    )
    assert loss.item() == pytest.approx(scalar_varifocal(logit, q, 0.5, 1.5), rel=1e-12)


def test_a_hand_computed_negative() -> None:
    # p = 1/2: 0.75 * 0.25 * ln 2
    loss = varifocal_loss(torch.zeros(1), torch.zeros(1))
    assert loss.item() == pytest.approx(0.75 * 0.25 * math.log(2))


def test_a_hand_computed_positive_without_weight() -> None:
    # p = 1/2: the entropy is ln 2 whatever q is
    loss = varifocal_loss(torch.zeros(1), torch.tensor([0.2]), iou_weighted=False)
    assert loss.item() == pytest.approx(math.log(2))


def test_gradient_agrees_with_finite_differences() -> None:
    logits = torch.linspace(-2, 2, 6, dtype=torch.float64).requires_grad_()
    targets = torch.tensor([0, 0, 0, 0.1, 0.5, 1], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: varifocal_loss(x, targets), logits)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([-100.0, 100.0, -100.0, 100.0], requires_grad=True)
    loss = varifocal_loss(logits, torch.tensor([0.0, 0.0, 1.0, 1.0]), reduction="sum")
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions(reduction: str) -> None:
    logits, targets = torch.randn(4, 3), torch.rand(4, 3).round(decimals=1)
    expected = getattr(varifocal_loss(logits, targets), reduction)()
    torch.testing.assert_close(varifocal_loss(logits, targets, reduction=reduction), expected)


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="'none', 'sum' or 'mean', not 'total'"):
        varifocal_loss(torch.zeros(1), torch.zeros(1), reduction="total")


def test_targets_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"varifocal_loss: logits \(4, 3\) and targets \(4, 1\)"):
        varifocal_loss(torch.zeros(4, 3), torch.zeros(4, 1))


def test_the_module_fits_the_protocol() -> None:
    loss = VarifocalLoss()
    assert isinstance(loss, ClassificationLoss)
    assert loss.iou_aware
