"""Tests of vfnet_d2.losses.reduce."""

import pytest
import torch

from vfnet_d2.losses.reduce import check_same_shape, reduce_loss


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [1.0, 2.0, 6.0]), ("sum", 9.0), ("mean", 3.0)]
)
def test_reductions(reduction: str, expected: object) -> None:
    assert reduce_loss(torch.tensor([1.0, 2.0, 6.0]), reduction).tolist() == expected


def test_unknown_reduction_names_the_known() -> None:
    with pytest.raises(ValueError, match="'none', 'sum' or 'mean', not 'avg'"):
        reduce_loss(torch.zeros(1), "avg")


def test_shapes_are_compared_without_broadcasting() -> None:
    check_same_shape("loss", torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"loss: logits \(2, 3\) and targets \(1, 3\)"):
        check_same_shape("loss", torch.zeros(2, 3), torch.zeros(1, 3))
