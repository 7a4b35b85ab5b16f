"""Tests of vfnet_d2.layers.folded_conv; the oracle is convolution and norm one after the other."""

import copy
from typing import Any

import pytest
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn import functional as F

from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d
from vfnet_d2.layers.folded_conv import FoldedConv2d, fold_norms

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")

NORMS: dict[str, Any] = {
    "fixed statistics": FixedStatsBatchNorm2d,
    "frozen": FrozenBatchNorm2d,
    "batch norm": nn.BatchNorm2d,
    "without affine": lambda channels: nn.BatchNorm2d(channels, affine=False),
}


def conv_with(norm: nn.Module, **options: Any) -> Conv2d:
    """A convolution to eight channels whose norm has statistics and parameters of its own."""
    with torch.no_grad():
        for name, value in norm.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.rand(8) + 0.5 if name != "running_mean" else torch.randn(8))
    defaults: dict[str, Any] = {"kernel_size": 3, "padding": 1, "norm": norm, "activation": F.relu_}
    return Conv2d(4, 8, **(defaults | options))


def folding(conv: Conv2d) -> nn.Module:
    """A copy that folds."""
    holder = nn.Sequential(copy.deepcopy(conv))
    fold_norms(holder)
    assert type(holder[0]) is FoldedConv2d
    return holder


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "options", [{}, {"bias": False, "stride": 2}, {"groups": 2, "activation": None}]
)
def test_it_equals_convolution_then_norm(norm: str, options: dict[str, Any]) -> None:
    conv = conv_with(NORMS[norm](8), **options).double().eval()
    x = torch.randn(2, 4, 9, 7, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(folding(conv)(x), conv(x))


def test_no_norm_runs() -> None:
    """The point of it: one pass over the map less."""
    conv = folding(conv_with(FixedStatsBatchNorm2d(8)))
    with torch.no_grad(), torch.profiler.profile() as profile:
        conv(torch.randn(1, 4, 8, 8))
    assert not [event.key for event in profile.key_averages() if "batch_norm" in event.key]


def test_it_compiles_and_exports_whole() -> None:
    conv = conv_with(FixedStatsBatchNorm2d(8), activation=None)
    folds, x = folding(conv), torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        compiled = torch.compile(folds, fullgraph=True, backend="eager")
        exported = torch.export.export(folds, (x,)).module()
        for way in (compiled, exported):
            torch.testing.assert_close(way(x), conv(x))


@pytest.mark.parametrize("learns", ["nothing", "input", "weight", "norm"])
def test_in_training_frozen_layers_fold_and_no_others(learns: str) -> None:
    conv = conv_with(FixedStatsBatchNorm2d(8), activation=None).requires_grad_(False)
    folds = folding(conv)
    x = torch.randn(1, 4, 8, 8)
    parts = {"input": x, "weight": folds[0].weight, "norm": folds[0].norm.bias}
    if learns in parts:
        parts[learns].requires_grad_()
    with torch.profiler.profile() as profile:
        out = folds(x)
    runs = any(event.key == "aten::batch_norm" for event in profile.key_averages())
    assert runs == out.requires_grad == (learns != "nothing")


@pytest.mark.parametrize("norm", NORMS)
def test_training_is_the_same_to_the_last_bit(norm: str) -> None:
    conv = conv_with(NORMS[norm](8)).train()
    x = torch.randn(2, 4, 9, 7)
    results = []
    for module in (copy.deepcopy(conv), folding(conv).train()):
        module.zero_grad()
        out = module(x)
        out.square().sum().backward()
        results.append([out.detach(), *(p.grad for p in module.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_batch_norm_that_learns_statistics_still_does() -> None:
    conv = conv_with(nn.BatchNorm2d(8)).train()
    folds = folding(conv).train()
    x = torch.randn(2, 4, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(folds(x), conv(x), rtol=0, atol=0)
    assert torch.equal(folds[0].norm.running_mean, conv.norm.running_mean)


def test_changed_parameters_count_at_once() -> None:
    conv = conv_with(FixedStatsBatchNorm2d(8))
    folds = folding(conv)
    x = torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        folds(x)
        for module in (conv, folds[0]):
            module.norm.weight.mul_(3)
            module.weight.add_(0.1)
        torch.testing.assert_close(folds(x), conv(x))


def test_names_and_tensors_stay() -> None:
    conv = conv_with(FixedStatsBatchNorm2d(8))
    holder = nn.Sequential(conv, Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
    before = {name: tensor.data_ptr() for name, tensor in holder.state_dict().items()}
    fold_norms(holder)
    assert {n: t.data_ptr() for n, t in holder.state_dict().items()} == before
    assert [type(x) for x in holder] == [FoldedConv2d, Conv2d, nn.Conv2d]


def test_folding_takes_no_random_numbers() -> None:
    holder = nn.Sequential(conv_with(FixedStatsBatchNorm2d(8)))
    before = torch.get_rng_state()
    fold_norms(holder)
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_of_the_convolution_stay() -> None:
    conv = conv_with(
        nn.BatchNorm2d(8).eval(),
        **{"kernel_size": (3, 1), "stride": (2, 1), "padding": (2, 0), "dilation": (2, 1)},
        **{"groups": 2, "bias": False, "padding_mode": "reflect"},
    )
    (folds,) = folding(conv)
    plain = {key: value for key, value in vars(conv).items() if not key.startswith("_")}
    assert {key: vars(folds)[key] for key in plain} == plain


def test_other_norms_and_subclasses_stay() -> None:
    class Special(Conv2d):
        """Computes something else."""

    group = Conv2d(4, 8, 3, norm=nn.GroupNorm(2, 8))
    holder = nn.Sequential(group, Special(8, 8, 1, norm=nn.BatchNorm2d(8)))
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        expected = holder.eval()(x)
        fold_norms(holder)
        assert torch.equal(holder(x), expected)
    assert type(holder[1]) is Special
