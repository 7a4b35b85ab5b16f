"""Quality Focal Loss (Generalized Focal Loss, NeurIPS 2020, Eq. 4)."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.losses.reduce import check_same_shape, reduce_loss
from vfnet_d2.losses.registry import CLS_LOSS_REGISTRY


def quality_focal_loss(
    logits: Tensor, targets: Tensor, *, beta: float = 2.0, reduction: str = "none"
) -> Tensor:
    """``|q - p|^beta`` times binary cross entropy, with p = sigmoid(logit).

    Args:
        logits: any shape, before the sigmoid.
        targets: same shape; q in [0, 1], a positive's localisation quality.
        beta: focusing exponent.
        reduction: "none", "sum" or "mean".

    Returns:
        the loss, of the shape of ``logits`` for "none", else a scalar.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    check_same_shape("quality_focal_loss", logits, targets)
    targets = targets.to(logits.dtype)
    modulation = (targets - logits.sigmoid()).abs().pow(beta)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * modulation
    return reduce_loss(loss, reduction)


@CLS_LOSS_REGISTRY.register()
class QualityFocalLoss(nn.Module):
    """Summed :func:`quality_focal_loss`."""

    iou_aware: ClassVar[bool] = True

    def __init__(self, *, beta: float = 2.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits and targets, both (P, K), to the summed loss."""
        return quality_focal_loss(logits, targets, beta=self.beta, reduction="sum")
