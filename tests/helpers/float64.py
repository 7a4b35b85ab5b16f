"""Detectors in float64, where the order of additions does not show."""

from typing import Any

from torch import Tensor, nn

from vfnet_d2.modeling.suppression import Suppression


class Float32Suppression:
    """A suppression whose boxes and scores are rounded before: NMS kernels are of float32.

    Args:
        suppression: what is given the rounded numbers.
    """

    def __init__(self, suppression: Suppression) -> None:
        self.suppression = suppression

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """See ``Suppression``; the scores are those of float64."""
        keep, _ = self.suppression(boxes.float(), scores.float(), classes, limit=limit)
        return keep, scores[keep]


def in_float64(model: nn.Module) -> Any:
    """Make a detector compute in float64 up to its suppression, in place."""
    model.double()
    model.suppression = Float32Suppression(model.suppression)  # type: ignore[assignment]
    return model
