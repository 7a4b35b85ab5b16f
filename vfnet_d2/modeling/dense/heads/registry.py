"""Registry of dense heads, and their protocol."""

from typing import Protocol, runtime_checkable

from detectron2.utils.registry import Registry
from torch import Tensor

from vfnet_d2.modeling.dense.structures import HeadOutputs

HEAD_REGISTRY = Registry("DENSE_HEAD")
HEAD_REGISTRY.__doc__ = "Dense heads: L feature maps (N, C, H, W) -> HeadOutputs."


@runtime_checkable
class DenseHead(Protocol):
    """Seam: predict classes and boxes at every cell of every level."""

    def __call__(self, features: list[Tensor]) -> HeadOutputs:
        """Map L feature maps (N, C, H, W) to :class:`HeadOutputs`."""
        ...
