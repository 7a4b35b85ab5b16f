"""Registries of classification and box losses, and the classification protocol."""

from typing import ClassVar, Protocol, runtime_checkable

from detectron2.utils.registry import Registry
from torch import Tensor

CLS_LOSS_REGISTRY = Registry("CLS_LOSS")
CLS_LOSS_REGISTRY.__doc__ = "Classification losses: (logits (P, K), targets (P, K)) -> sum."
BOX_LOSS_REGISTRY = Registry("BOX_LOSS")
BOX_LOSS_REGISTRY.__doc__ = "Box losses: (predicted (P, 4), target (P, 4)) -> (P,)."


@runtime_checkable
class ClassificationLoss(Protocol):
    """Seam: a classification loss over P points and K classes; it never sees a box.

    ``iou_aware`` says what a positive's target is at its class: the IoU of its predicted box with
    its ground truth (True) or 1 (False). All other targets are 0.
    """

    iou_aware: ClassVar[bool]

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits and targets, both (P, K), to the summed loss, a scalar."""
        ...
