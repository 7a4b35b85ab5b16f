"""Tests of vfnet_d2.layers.memory_format."""

import pytest
import torch

from vfnet_d2.layers.memory_format import lay_out

FORMATS = [torch.channels_last, torch.contiguous_format]


@pytest.mark.parametrize("before", FORMATS)
def test_on_a_cpu_the_channels_of_a_cell_lie_together(before: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=before)
    found = lay_out(x)
    assert torch.equal(found, x)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("before", FORMATS)
def test_elsewhere_maps_are_contiguous(before: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 5, device="meta").contiguous(memory_format=before)
    assert lay_out(x).is_contiguous()
