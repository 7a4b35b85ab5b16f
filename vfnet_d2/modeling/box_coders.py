"""How a head's four numbers and a box hang together; what Detectron2 lacks, and names for configs.

A coder has Detectron2's interface: ``get_deltas(anchors (P, 4), boxes (P, 4)) -> (P, 4)`` and its
inverse ``apply_deltas(deltas (P, 4), anchors (P, 4)) -> (P, 4)``, boxes in pixels.
"""

from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.utils.registry import Registry
from torch import Tensor

BOX_CODER_REGISTRY = Registry("BOX_CODER")
BOX_CODER_REGISTRY.__doc__ = "Box coders: deltas and anchors (P, 4) -> boxes (P, 4), and back."


@BOX_CODER_REGISTRY.register()
class LinearDistances(Box2BoxTransformLinear):
    """Distances (left, top, right, bottom) from the anchor's centre, in units of its side."""


@BOX_CODER_REGISTRY.register()
class LogDistances(Box2BoxTransformLinear):
    """Logarithms of :class:`LinearDistances`, for heads that predict them unbounded."""

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """Encode boxes (P, 4) whose anchors' centres lie inside."""
        return super().get_deltas(src_boxes, target_boxes).log()

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Decode deltas (P, 4) of anchors (P, 4)."""
        return super().apply_deltas(deltas.exp(), boxes)


@BOX_CODER_REGISTRY.register()
class CentreSizeDeltas(Box2BoxTransform):
    """Shift of the centre over the anchor's sides, and logarithms of the ratios of the sides.

    Args:
        weights: factors of (dx, dy, dw, dh).
    """

    def __init__(self, *, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> None:
        super().__init__(weights=weights)
