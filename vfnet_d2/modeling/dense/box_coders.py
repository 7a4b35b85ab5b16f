"""How a head's four numbers and a box hang together; what Detectron2 lacks, and names for configs.

A coder has Detectron2's interface: ``get_deltas(anchors (P, 4), boxes (P, 4)) -> (P, 4)`` and its
inverse ``apply_deltas(deltas (P, 4), anchors (P, 4)) -> (P, 4)``, boxes in pixels.
"""

import math
from collections.abc import Sequence

import torch
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.utils.registry import Registry
from torch import Tensor

from vfnet_d2.layers.precision import at_least_float32

BOX_CODER_REGISTRY = Registry("BOX_CODER")
BOX_CODER_REGISTRY.__doc__ = "Box coders: deltas and anchors (P, 4) -> boxes (P, 4), and back."


@BOX_CODER_REGISTRY.register()
class LinearDistances(Box2BoxTransformLinear):
    """Distances (left, top, right, bottom) from the anchor's centre, in units of its side."""


@BOX_CODER_REGISTRY.register()
class LogDistances(Box2BoxTransformLinear):
    """Logarithms of :class:`LinearDistances`, for heads that predict them unbounded.

    Args:
        limit: encoded distances are kept within 1 / limit and limit anchor sides. FoveaBox has 16;
            without a limit, an anchor's centre on or beyond a side of its box has no encoding.
    """

    def __init__(self, *, limit: float = math.inf) -> None:
        super().__init__()
        self.limit = limit

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """Encode boxes (P, 4)."""
        distances = super().get_deltas(src_boxes, target_boxes)
        return distances.clamp(1 / self.limit, self.limit).log()

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Decode deltas (P, 4) of anchors (P, 4)."""
        return super().apply_deltas(deltas.exp(), boxes)


@BOX_CODER_REGISTRY.register()
class CentreSizeDeltas(Box2BoxTransform):
    """Shift of the centre over the anchor's sides, and logarithms of the ratios of the sides.

    Args:
        weights: factors of (dx, dy, dw, dh).
    """

    def __init__(self, *, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> None:
        super().__init__(weights=tuple(weights))


@BOX_CODER_REGISTRY.register()
class ClampedShiftDeltas(CentreSizeDeltas):
    """:class:`CentreSizeDeltas` whose boxes do not move far from their anchors (YOLOF, CVPR 2021).

    Args:
        weights: factors of (dx, dy, dw, dh).
        max_shift: most that decoding moves a centre along x and along y, in pixels.
    """

    def __init__(
        self, *, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0), max_shift: float = 32.0
    ) -> None:
        super().__init__(weights=weights)
        if not max_shift > 0:
            raise ValueError(f"max_shift is {max_shift}; it must be above 0, in pixels")
        self.max_shift = max_shift

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Decode deltas (P, 4) of anchors (P, 4)."""
        low, high = boxes[:, :2], boxes[:, 2:]
        deltas = at_least_float32(deltas)
        deltas = deltas / deltas.new_tensor(self.weights)
        shift = deltas[:, :2] * (high - low)
        # PyTorch's versions differ in the gradient of clamp at the limit itself, which is 1 here.
        limited = shift.detach().clamp(-self.max_shift, self.max_shift)
        shift = torch.where(shift.abs() <= self.max_shift, shift, limited)
        sides = deltas[:, 2:].clamp(max=self.scale_clamp).exp() * (high - low)
        centre = (low + high) / 2 + shift
        return torch.cat([centre - sides / 2, centre + sides / 2], dim=1)


@BOX_CODER_REGISTRY.register()
class CornerOffsets:
    """Corners (x1, y1, x2, y2) relative to the anchor's centre, in units of its sides.

    Unlike distances they may have any sign, and a box need not contain the centre.
    """

    def get_deltas(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Encode boxes (P, 4)."""
        centre, size = _centre_and_size(anchors)
        return (boxes - centre) / size

    def apply_deltas(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Decode deltas (P, 4) of anchors (P, 4)."""
        centre, size = _centre_and_size(anchors)
        return deltas * size + centre


def _centre_and_size(anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (x, y, x, y) and sides (w, h, w, h), both (P, 4), of anchors (P, 4)."""
    low, high = anchors[:, :2], anchors[:, 2:]
    return ((low + high) / 2).repeat(1, 2), (high - low).repeat(1, 2)
