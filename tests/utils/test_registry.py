"""Tests of vfnet_d2.utils.registry."""

from typing import Any

import pytest
from detectron2.config import CfgNode
from detectron2.utils.registry import Registry

from vfnet_d2.utils.registry import build_part, defaults_node, kind_node, lookup_name


class Wheel:
    """A part with a configured argument and one that is given."""

    def __init__(self, *, spokes: int = 8, colour: str = "red", axle: Any) -> None:
        self.spokes, self.colour, self.axle = spokes, colour, axle


class Ski:
    """A part with one argument."""

    def __init__(self, *, length: float = 1.5, axle: Any = None) -> None:
        self.length, self.axle = length, axle


@pytest.fixture
def registry() -> Registry:
    """Two kinds of runners."""
    registry = Registry("RUNNER")
    registry.register(Wheel)
    registry.register(Ski)
    return registry


def test_defaults_become_keys_in_capitals() -> None:
    assert dict(defaults_node(Wheel)) == {"SPOKES": 8, "COLOUR": "red"}


def test_a_kind_has_a_name_and_a_node_for_every_registered_class(registry: Registry) -> None:
    node = kind_node(registry, "Ski")
    assert node == CfgNode(
        {
            "NAME": "Ski",
            "Wheel": {"SPOKES": 8, "COLOUR": "red"},
            "Ski": {"LENGTH": 1.5, "AXLE": None},
        }
    )


def test_a_part_is_built_from_its_own_node_and_the_given_parts(registry: Registry) -> None:
    node = kind_node(registry, "Wheel")
    node.Wheel.SPOKES = 12
    wheel = build_part(registry, node, key="CART.RUNNER", axle="steel")
    assert isinstance(wheel, Wheel)
    assert (wheel.spokes, wheel.colour, wheel.axle) == (12, "red", "steel")


def test_a_part_that_the_class_does_not_know_is_not_given_to_it(registry: Registry) -> None:
    wheel = build_part(registry, kind_node(registry, "Wheel"), key="RUNNER", axle="steel", oar=2)
    assert wheel.axle == "steel"


def test_a_class_registered_later_runs_on_its_defaults(registry: Registry) -> None:
    node = CfgNode({"NAME": "Wheel"})
    assert build_part(registry, node, key="RUNNER", axle=None).spokes == 8


def test_an_unknown_part_names_its_key_and_lists_the_registered(registry: Registry) -> None:
    node = kind_node(registry, "Sledge")
    with pytest.raises(ValueError, match=r"CART\.RUNNER\.NAME is 'Sledge', .*\['Ski', 'Wheel'\]"):
        build_part(registry, node, key="CART.RUNNER")


def test_lookup_returns_what_goes_by_the_name() -> None:
    assert lookup_name({"a": 1, "b": 2}, "b", key="KEY") == 2
