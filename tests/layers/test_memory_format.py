"""Tests of vfnet_d2.layers.memory_format."""

import pytest
import torch

from vfnet_d2.layers.memory_format import check_memory_format, lay_out

CHANNELS_LAST = torch.channels_last


@pytest.mark.parametrize(
    ("name", "channels_last"), [("auto", True), ("channels_last", True), ("contiguous", False)]
)
@pytest.mark.parametrize("before", [torch.contiguous_format, torch.channels_last])
def test_values_stay_and_lie_as_asked(
    name: str, channels_last: bool, before: torch.memory_format
) -> None:
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=before)
    found = lay_out(x, name)
    assert torch.equal(found, x)
    assert found.is_contiguous(memory_format=CHANNELS_LAST) == channels_last
    assert found.is_contiguous() != channels_last


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'nhwc'.*'auto', 'contiguous', 'channels_last'"):
        check_memory_format("nhwc")
