"""Tests of vfnet_d2.layers.deform.backend."""

import logging

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.log_lines import log_lines
from vfnet_d2.layers.deform.backend import (
    AUTO,
    IMPLEMENTATIONS,
    MODULATED_BACKENDS,
    STAR_BACKENDS,
    Backends,
    resolve,
    set_deform_conv,
)
from vfnet_d2.layers.deform.modulated_conv import MODULATED_CONVS, ModulatedDeformConv2d
from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.layers.deform.star_ops import STAR_CONVS

# An example in which every case has another answer.
EXAMPLE = Backends({"cpu": "gather", "cuda": "on cuda"}, elsewhere="elsewhere", traced="traced")


@pytest.mark.parametrize(
    ("wanted", "device_type", "gatherable", "traced", "expected"),
    [
        ("auto", "cpu", True, False, "gather"),
        ("auto", "cuda", True, False, "on cuda"),
        ("auto", "mps", True, False, "elsewhere"),
        ("auto", "cpu", True, True, "traced"),
        ("auto", "cpu", False, False, "torchvision"),
        ("gather", "cuda", True, True, "gather"),
        ("gather", "cuda", False, True, "torchvision"),
        ("grid_sample", "cpu", False, False, "grid_sample"),
    ],
)
def test_what_runs(
    wanted: str, device_type: str, gatherable: bool, traced: bool, expected: str
) -> None:
    found = resolve(EXAMPLE, wanted, device_type, gatherable=gatherable, traced=traced)
    assert found == expected


@pytest.mark.parametrize("backends", [STAR_BACKENDS, MODULATED_BACKENDS])
def test_the_tables_name_implementations(backends: Backends) -> None:
    assert {*backends.by_device.values(), backends.elsewhere, backends.traced} <= {*IMPLEMENTATIONS}


def test_both_operations_have_all_implementations() -> None:
    assert set(STAR_CONVS) == set(MODULATED_CONVS) == set(IMPLEMENTATIONS)


def test_the_choice_depends_on_nothing_that_a_process_could_see_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No clock is read, whichever way the layers are used first."""
    for name in ("time", "perf_counter", "monotonic", "process_time"):
        monkeypatch.setattr(f"time.{name}", lambda: pytest.fail("a clock was read"))
    layers = [StarConv2d(2, 2), ModulatedDeformConv2d(2, 2, kernel_size=3, padding=1)]
    assert [layer.backend("cpu") for layer in layers] == ["gather", "gather"]
    assert [layer.backend("cuda") for layer in layers] == ["torchvision", "torchvision"]
    layers[1](torch.ones(1, 2, 4, 4))


@pytest.mark.parametrize("name", [AUTO, *IMPLEMENTATIONS])
def test_a_whole_model_is_set_at_once(name: str) -> None:
    model = nn.Sequential(ModulatedDeformConv2d(2, 2, kernel_size=3, padding=1), StarConv2d(2, 2))
    set_deform_conv(model, name)
    assert [layer.implementation for layer in model] == [name, name]
    others = [ModulatedDeformConv2d(2, 2, kernel_size=3), StarConv2d(2, 2)]
    assert [layer.implementation for layer in others] == [AUTO, AUTO]


def test_an_unknown_name_lists_the_known() -> None:
    known = r"\('auto', 'torchvision', 'gather', 'grid_sample'\)"
    with pytest.raises(ValueError, match=rf"DEFORM_CONV\) is 'cudnn'; choose one of {known}"):
        set_deform_conv(nn.Sequential(), "cudnn")


@pytest.mark.parametrize(("name", "warns"), [("gather", True), (AUTO, False)])
def test_layers_that_an_explicit_gather_cannot_take_are_named(name: str, warns: bool) -> None:
    model = nn.Sequential(
        ModulatedDeformConv2d(2, 2, kernel_size=3, padding=1),
        ModulatedDeformConv2d(2, 2, kernel_size=3, padding=2, dilation=2),
    )
    with log_lines("vfnet_d2.layers.deform.backend", level=logging.WARNING) as lines:
        set_deform_conv(model, name)
    assert len(lines) == warns
    assert not warns or "'torchvision' computes these: 1." in lines[0]
    x: Tensor = torch.ones(1, 2, 6, 6)
    assert model(x).shape == x.shape
