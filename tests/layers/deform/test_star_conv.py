"""Tests of vfnet_d2.layers.deform.star_conv."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vfnet_d2.layers.deform import star_conv
from vfnet_d2.layers.deform.star_conv import StarConv2d, Stars
from vfnet_d2.layers.deform.star_ops import STAR_CONVS, star_offsets

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


def star_layer(name: str = "auto") -> StarConv2d:
    """From three to four channels, by one implementation."""
    layer = StarConv2d(3, 4)
    layer.implementation = name
    return layer


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    """A map of three channels and offsets to it."""
    return torch.randn(1, 3, 5, 6), star_offsets(2 * torch.rand(1, 4, 5, 6))


def spy(name: str, used: list[str]) -> Callable[..., Tensor]:
    def run(*args: Tensor) -> Tensor:
        used.append(name)
        return STAR_CONVS["grid_sample"](*args)

    return run


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the implementations that run."""
    names: list[str] = []
    spies = {name: spy(name, names) for name in STAR_CONVS}
    monkeypatch.setattr(star_conv, "STAR_CONVS", spies)
    return names


@pytest.mark.parametrize("name", STAR_CONVS)
def test_the_layer_is_the_function_with_its_weight(
    name: str, inputs: tuple[Tensor, Tensor]
) -> None:
    layer = star_layer(name)
    expected = STAR_CONVS[name](*inputs, layer.weight)
    assert torch.equal(layer(*inputs), expected)
    assert expected.shape == (1, 4, 5, 6)


def test_weights_are_named_and_shaped_like_a_convolution_s() -> None:
    state = StarConv2d(3, 4).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {"weight": (4, 3, 3, 3)}


@pytest.mark.parametrize("name", STAR_CONVS)
def test_a_forced_implementation_is_used(
    name: str, used: list[str], inputs: tuple[Tensor, Tensor]
) -> None:
    star_layer(name)(*inputs)
    assert used == [name]


def test_auto_is_the_gather_on_a_cpu(used: list[str], inputs: tuple[Tensor, Tensor]) -> None:
    star_layer()(*inputs)
    assert used == ["gather"]


@pytest.mark.parametrize("name", STAR_CONVS)
def test_levels_together_are_levels_one_by_one(name: str) -> None:
    """Values and gradients, for maps of different sizes that share the weight."""
    layer = star_layer(name).double()
    maps = [torch.randn(2, 3, *size).double().requires_grad_() for size in ((5, 6), (3, 2), (1, 1))]
    distances = [2 * torch.rand(len(x), 4, *x.shape[2:]).double() for x in maps]
    offsets = [star_offsets(d.requires_grad_()) for d in distances]
    leaves = [*maps, *distances, layer.weight]

    def gradients(outputs: list[Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(sum(x.square().sum() for x in outputs), leaves)

    together = layer.forward_levels(maps, Stars(offsets))
    alone = [layer(x, offset) for x, offset in zip(maps, offsets, strict=True)]
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(gradients(together), gradients(alone))


def test_convolutions_of_the_same_stars_share_the_plan(
    inputs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    plan = star_conv.gather_plan
    monkeypatch.setattr(star_conv, "gather_plan", lambda x: made.append(x) or plan(x))
    x, offsets = inputs
    stars = Stars([offsets])
    for _ in range(2):
        star_layer("gather").forward_levels([x], stars)
    assert len(made) == 1


@pytest.mark.parametrize("name", [*STAR_CONVS, "auto"])
def test_exports(name: str, inputs: tuple[Tensor, Tensor]) -> None:
    layer = star_layer(name)
    expected = STAR_CONVS["grid_sample"](*inputs, layer.weight)
    exported = torch.export.export(layer, inputs)
    torch.testing.assert_close(exported.module()(*inputs), expected)
    # tracing leaves nothing behind that a later run would stumble over
    torch.testing.assert_close(layer(*inputs), expected)


@pytest.mark.parametrize("name", ["grid_sample", "auto"])
def test_the_portable_form_exports_without_special_operators(
    name: str, inputs: tuple[Tensor, Tensor]
) -> None:
    exported = torch.export.export(star_layer(name), inputs)
    # An exporter lowers the graph first, which also resolves what autocast wraps.
    nodes = exported.run_decompositions({}).graph.nodes
    targets = [str(node.target) for node in nodes if node.op == "call_function"]
    assert all(target.startswith(("aten.", "<built-in")) for target in targets), targets
    assert any("grid_sampl" in target for target in targets)
    assert not any("embedding_bag" in target for target in targets)


def test_traces_without_special_operators(inputs: tuple[Tensor, Tensor]) -> None:
    traced = torch.jit.trace(StarConv2d(3, 4), inputs)
    graph = str(traced.inlined_graph)
    assert "torchvision" not in graph and "embedding_bag" not in graph
