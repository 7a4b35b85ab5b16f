"""Registry of augmentations, and the one list of them that a YAML config asks for."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.data.transforms import Augmentation
from detectron2.utils.registry import Registry

from vfnet_d2.utils.registry import defaults_node, lookup_name

AUGMENTATION_REGISTRY = Registry("AUGMENTATION")
AUGMENTATION_REGISTRY.__doc__ = "Detectron2 augmentations, built from their keyword arguments."

KEY = "INPUT.AUGMENTATIONS"


def augmentations_node() -> CfgNode:
    """Return ``NAMES``, those that run after resizing and flipping, and the settings of each."""
    node = CfgNode({"NAMES": []})
    for name, cls in AUGMENTATION_REGISTRY:
        node[name] = defaults_node(cls)
    return node


def build_augmentations(node: CfgNode) -> list[Augmentation]:
    """Return the augmentations that ``INPUT.AUGMENTATIONS`` asks for, in its order.

    Raises:
        ValueError: a name is unknown.
    """
    made = []
    for name in node.NAMES:
        cls: Any = lookup_name(dict(AUGMENTATION_REGISTRY), name, key=f"{KEY}.NAMES")
        settings = node.get(name, {})
        made.append(cls(**{key.lower(): value for key, value in settings.items()}))
    return made
