"""Tests of vfnet_d2.layers.conv_tower."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vfnet_d2.layers.conv_tower import ConvTower, conv_norm_relu
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


def test_a_block_is_convolution_group_norm_and_relu() -> None:
    block = conv_norm_relu(3, 64)
    x = torch.randn(2, 3, 5, 6)
    # a norm name "GN" means 32 groups
    expected = F.relu(
        F.group_norm(F.conv2d(x, block.weight, padding=1), 32, block.norm.weight, block.norm.bias)
    )
    torch.testing.assert_close(block(x), expected)
    assert block.bias is None


def test_without_norm_a_block_has_a_bias() -> None:
    block = conv_norm_relu(3, 4, norm="")
    x = torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(block(x), F.relu(F.conv2d(x, block.weight, block.bias, padding=1)))


def test_a_tower_chains_its_blocks() -> None:
    tower = ConvTower(3, 32, num_convs=2)
    x = torch.randn(1, 3, 4, 4)
    assert [block.in_channels for block in tower] == [3, 32]
    assert torch.equal(tower(x), tower[1](tower[0](x)))


def test_a_tower_without_blocks_is_the_identity() -> None:
    x = torch.randn(1, 3, 4, 4)
    assert torch.equal(ConvTower(3, 32, num_convs=0)(x), x)


def test_towers_share_nothing() -> None:
    first, second = ConvTower(3, 32, num_convs=1), ConvTower(3, 32, num_convs=1)
    assert isinstance(first[0], nn.Module) and first[0] is not second[0]


def test_only_the_last_convolution_of_a_tower_is_deformable_when_asked() -> None:
    tower = ConvTower(3, 32, num_convs=3, deform_last=True)
    assert [isinstance(block, ModulatedDeformConv2d) for block in tower] == [False, False, True]
    x = torch.randn(1, 3, 4, 4)
    last = tower[2]
    half = 0.5 * F.conv2d(tower[1](tower[0](x)), last.weight, padding=1)
    expected = F.relu(F.group_norm(half, 32, last.norm.weight, last.norm.bias))
    torch.testing.assert_close(tower(x), expected)


def test_a_deformable_tower_without_blocks_is_the_identity() -> None:
    assert len(ConvTower(3, 32, num_convs=0, deform_last=True)) == 0
