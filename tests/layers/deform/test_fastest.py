"""Tests of vfnet_d2.layers.deform.fastest."""

import logging

import torch

from tests.helpers.log_lines import log_lines
from vfnet_d2.layers.deform.fastest import choose_fastest, time_passes


def test_the_smallest_time_wins_and_all_are_logged() -> None:
    with log_lines("vfnet_d2.layers.deform.fastest", level=logging.INFO) as lines:
        assert choose_fastest("Sorting", {"slow": 0.2, "quick": 0.0123}, "cpu") == "quick"
    assert lines == ["INFO Sorting on cpu: slow 200.0 ms, quick 12.3 ms; using quick."]


def test_timing_runs_forward_and_backward_also_where_gradients_are_off() -> None:
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        assert time_passes(lambda v: 2 * v, [x], "cpu") > 0
    assert x.grad.tolist() == [6, 6, 6]  # three passes
