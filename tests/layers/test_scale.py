"""Tests of vfnet_d2.layers.scale."""

import torch

from vfnet_d2.layers.scale import Scale


def test_multiplies_by_its_scalar() -> None:
    assert Scale(2.5)(torch.tensor([1.0, -2.0])).tolist() == [2.5, -5.0]


def test_starts_at_one_and_learns() -> None:
    scale = Scale()
    scale(torch.tensor([3.0, 4.0])).sum().backward()
    assert scale.scale.item() == 1 and scale.scale.shape == ()
    assert scale.scale.grad.item() == 7
