"""Tests of vfnet_d2.layers.deform.star_conv."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from vfnet_d2.layers.deform import star_conv
from vfnet_d2.layers.deform.star_conv import PORTABLE, StarConv2d, Stars, fastest_star_conv
from vfnet_d2.layers.deform.star_ops import STAR_CONVS, star_offsets

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """Nothing is known about this machine, before and after."""
    fastest_star_conv.cache_clear()
    yield
    fastest_star_conv.cache_clear()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    """A map of three channels and offsets to it."""
    return torch.randn(1, 3, 5, 6), star_offsets(2 * torch.rand(1, 4, 5, 6))


def spy(name: str, used: list[str]) -> Callable[..., Tensor]:
    def run(*args: Tensor) -> Tensor:
        used.append(name)
        return STAR_CONVS[PORTABLE](*args)

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
    layer = StarConv2d(3, 4, implementation=name)
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
    StarConv2d(3, 4, implementation=name)(*inputs)
    assert used == [name]


@pytest.mark.parametrize("name", STAR_CONVS)
def test_auto_uses_what_was_measured_to_be_fastest(
    name: str,
    used: list[str],
    inputs: tuple[Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(star_conv, "fastest_star_conv", lambda kind: asked.append(kind) or name)
    StarConv2d(3, 4)(*inputs)
    assert used == [name] and asked == ["cpu"]


def test_an_unknown_implementation_lists_the_known() -> None:
    known = ", ".join(["auto", *STAR_CONVS])
    with pytest.raises(ValueError, match=f"'cudnn'; choose one of {known}"):
        StarConv2d(3, 4, implementation="cudnn")


@pytest.mark.usefixtures("unmeasured")
def test_the_smallest_time_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(STAR_CONVS)
    seconds = {STAR_CONVS[name]: 0.1 + abs(names.index(name) - 1) for name in names}
    monkeypatch.setattr(star_conv, "_time_once", lambda function, kind: seconds[function])
    assert fastest_star_conv("cpu") == names[1]


@pytest.mark.usefixtures("unmeasured")
def test_measuring_runs_every_implementation_once_a_process(used: list[str]) -> None:
    name = fastest_star_conv("cpu")
    assert set(used) == set(STAR_CONVS)
    used.clear()
    assert fastest_star_conv("cpu") == name
    assert used == []


@pytest.mark.usefixtures("unmeasured")
def test_measuring_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    fastest_star_conv("cpu")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("unmeasured")
def test_measuring_works_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert fastest_star_conv("cpu") in STAR_CONVS
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", STAR_CONVS)
def test_levels_together_are_levels_one_by_one(name: str) -> None:
    """Values and gradients, for maps of different sizes that share the weight."""
    layer = StarConv2d(3, 4, implementation=name).double()
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
        StarConv2d(3, 4, implementation="gather").forward_levels([x], stars)
    assert len(made) == 1


@pytest.mark.parametrize("name", [*STAR_CONVS, "auto"])
def test_exports(name: str, inputs: tuple[Tensor, Tensor]) -> None:
    layer = StarConv2d(3, 4, implementation=name)
    expected = STAR_CONVS["grid_sample"](*inputs, layer.weight)
    exported = torch.export.export(layer, inputs)
    torch.testing.assert_close(exported.module()(*inputs), expected)
    # tracing leaves nothing behind that a later run would stumble over
    torch.testing.assert_close(layer(*inputs), expected)


@pytest.mark.parametrize("name", ["grid_sample", "auto"])
def test_the_portable_form_exports_without_special_operators(
    name: str, inputs: tuple[Tensor, Tensor]
) -> None:
    exported = torch.export.export(StarConv2d(3, 4, implementation=name), inputs)
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
