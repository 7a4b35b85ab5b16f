"""Parts of a detector by name: yacs nodes from signatures, and construction from a node.

A default lives once, in the class's signature. A YAML config sees it as
``<KIND>.<ClassName>.<ARGUMENT>`` beside ``<KIND>.NAME``; a LazyConfig calls the class itself.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry


def defaults_node(function: Callable[..., Any]) -> CfgNode:
    """Return a yacs node with one upper-case key per keyword argument that has a default.

    Args:
        function: a class or function whose defaults yacs can hold.
    """
    return CfgNode(
        {name.upper(): plain_default(x) for name, x in signature_defaults(function).items()}
    )


def signature_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword arguments that have a default, and the defaults.

    Args:
        function: a class or function.
    """
    parameters = inspect.signature(function).parameters.items()
    return {n: x.default for n, x in parameters if x.default is not inspect.Parameter.empty}


def plain_default(default: Any) -> Any:
    """Return a default as YAML can hold it: it has no tuples within tuples."""
    if isinstance(default, tuple) and any(isinstance(item, tuple) for item in default):
        return [list(item) for item in default]
    return default


def kind_node(registry: Registry, default: str) -> CfgNode:
    """Return the node of a kind of part: ``NAME`` and a node of defaults per registered class.

    Args:
        registry: the kind's registry.
        default: the name chosen unless a config says otherwise.
    """
    node = CfgNode({"NAME": default})
    for name, cls in registry:
        node[name] = defaults_node(cls)
    return node


def lookup_name(known: Mapping[str, Any], name: str, *, key: str) -> Any:
    """Return what goes by ``name``.

    Args:
        known: names and what they stand for.
        name: the wanted name.
        key: the config key that asked for it, for the message.

    Raises:
        ValueError: the name is unknown; lists the known ones.
    """
    if name not in known:
        raise ValueError(f"{key} is {name!r}, which is unknown; choose one of {sorted(known)}")
    return known[name]


def build_part(registry: Registry, node: CfgNode, *, key: str, **parts: Any) -> Any:
    """Construct the class that ``node.NAME`` names from its own sub-node and ``parts``.

    Args:
        registry: the kind's registry.
        node: see :func:`kind_node`.
        key: the node's path in the config, for messages.
        parts: arguments that are not configured, such as channel counts; the class is given those
            that its signature names.

    Raises:
        ValueError: unknown name.
    """
    cls = lookup_name(dict(registry), node.NAME, key=f"{key}.NAME")
    # A class registered after the config was made has no node: it runs on its defaults.
    configured = node.get(node.NAME, {})
    wanted = inspect.signature(cls).parameters
    return cls(
        **{name.lower(): value for name, value in configured.items()},
        **{name: part for name, part in parts.items() if name in wanted},
    )
