"""Tests of vfnet_d2.layers.batch_norm."""

import pytest
import torch

from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


def make() -> FixedStatsBatchNorm2d:
    norm = FixedStatsBatchNorm2d(2)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    return norm


def test_uses_its_stored_statistics_in_training() -> None:
    x = torch.randn(3, 2, 4, 4)
    mean, var = (torch.tensor(v).view(1, 2, 1, 1) for v in ([1.0, 2.0], [4.0, 9.0]))
    expected = (x - mean) / (var + 1e-5).sqrt()
    torch.testing.assert_close(make().train()(x), expected)


def test_statistics_do_not_move_in_training() -> None:
    norm = make().train()
    norm(torch.randn(3, 2, 4, 4))
    assert norm.running_mean.tolist() == [1, 2] and norm.running_var.tolist() == [4, 9]


def test_stays_fixed_when_a_parent_starts_training() -> None:
    parent = torch.nn.Sequential(make())
    parent.train()
    assert parent.training and not parent[0].training


def test_its_weight_and_bias_learn() -> None:
    norm = make().train()
    norm(torch.randn(3, 2, 4, 4)).square().sum().backward()
    assert norm.weight.grad.abs().min() > 0 and norm.bias.grad.abs().min() > 0


def test_a_new_layer_uses_its_statistics_before_a_mode_is_set() -> None:
    norm = FixedStatsBatchNorm2d(3)
    x = 5 + torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(norm(x), x / (1 + norm.eps) ** 0.5)
    assert norm.running_mean.eq(0).all() and norm.num_batches_tracked == 0
