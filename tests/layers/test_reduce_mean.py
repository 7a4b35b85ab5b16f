"""Tests of vfnet_d2.layers.reduce_mean."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor

from vfnet_d2.layers.reduce_mean import reduce_mean


@pytest.fixture
def two_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another rank takes part in every reduction, with the values 10 and 20."""

    def all_reduce(values: Tensor, op: Any) -> None:
        assert op == dist.ReduceOp.SUM
        values += torch.tensor([10.0, 20.0])

    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)


def test_one_process_keeps_its_values() -> None:
    assert reduce_mean(torch.tensor([3.0, 4.0])).tolist() == [3, 4]


@pytest.mark.usefixtures("two_ranks")
def test_two_processes_average() -> None:
    assert reduce_mean(torch.tensor([2.0, 6.0])).tolist() == [6, 13]


@pytest.mark.usefixtures("two_ranks")
def test_the_argument_is_left_alone() -> None:
    values = torch.tensor([2.0, 6.0])
    reduce_mean(values)
    assert values.tolist() == [2, 6]


def test_carries_no_gradient() -> None:
    assert not reduce_mean(torch.ones(2, requires_grad=True)).requires_grad
