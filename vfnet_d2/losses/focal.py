"""Focal Loss (RetinaNet, ICCV 2017, Eq. 5): fvcore's, behind the protocol."""

from typing import ClassVar

from fvcore.nn import sigmoid_focal_loss
from torch import Tensor, nn

from vfnet_d2.losses.reduce import check_same_shape
from vfnet_d2.losses.registry import CLS_LOSS_REGISTRY


@CLS_LOSS_REGISTRY.register()
class FocalLoss(nn.Module):
    """Summed sigmoid focal loss with binary targets.

    Args:
        alpha: weight of the positives; negatives get 1 - alpha.
        gamma: focusing exponent.
    """

    iou_aware: ClassVar[bool] = False

    def __init__(self, *, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits and targets, both (P, K), to the summed loss."""
        check_same_shape("FocalLoss", logits, targets)
        return sigmoid_focal_loss(
            logits, targets.to(logits.dtype), alpha=self.alpha, gamma=self.gamma, reduction="sum"
        )
