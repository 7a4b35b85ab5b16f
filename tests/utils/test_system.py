"""Tests of vfnet_d2.utils.system."""

import pytest
import torch

from tests.helpers.log_lines import log_lines
from vfnet_d2.utils.system import available_device, default_device


@pytest.mark.parametrize(
    ("wanted", "has_cuda", "expected"),
    [
        ("cpu", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
        ("cuda:1", True, "cuda:1"),
        ("cuda", False, "cpu"),
        ("cuda:1", False, "cpu"),
    ],
)
def test_the_device_that_is_there(
    monkeypatch: pytest.MonkeyPatch, wanted: str, has_cuda: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    with log_lines("vfnet_d2.utils.system") as lines:
        assert available_device(wanted) == expected
    # Another device than the wanted one is never taken silently.
    assert len(lines) == (wanted != expected)
    assert all(line.startswith("WARNING") and repr(wanted) in line for line in lines)


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_without_a_wish_a_gpu_is_taken_where_there_is_one(
    available: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert default_device() == device
