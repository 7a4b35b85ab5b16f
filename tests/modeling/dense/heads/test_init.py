"""Tests of vfnet_d2.modeling.dense.heads.init."""

import pytest
import torch
from torch import nn

from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.modeling.dense.heads.init import init_head


@pytest.fixture
def head() -> nn.ModuleDict:
    parts = {
        "conv": nn.Conv2d(64, 64, 3),
        "star": StarConv2d(64, 64),
        "norm": nn.GroupNorm(2, 64),
        "cls": nn.Conv2d(64, 80, 3),
    }
    head = nn.ModuleDict(parts)
    for module in (head.conv, head.cls):
        nn.init.constant_(module.bias, 7.0)
    init_head(head, head.cls, std=0.03, prior_prob=0.01)
    return head


@pytest.mark.parametrize("name", ["conv", "star", "cls"])
def test_weights_have_the_deviation(name: str, head: nn.ModuleDict) -> None:
    # of 36,864 draws the deviation has a standard error of 0.4 %
    assert head[name].weight.std().item() == pytest.approx(0.03, rel=0.02)


def test_scores_start_at_the_prior(head: nn.ModuleDict) -> None:
    assert torch.allclose(head.cls.bias.sigmoid(), torch.tensor(0.01))


def test_other_biases_start_at_zero_and_norms_stay(head: nn.ModuleDict) -> None:
    assert not head.conv.bias.any() and (head.norm.weight == 1).all()
