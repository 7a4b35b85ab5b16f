"""Varifocal Loss (VarifocalNet, CVPR 2021, Eq. 2)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.losses.reduce import check_same_shape, reduce_loss
from vfnet_d2.losses.registry import CLS_LOSS_REGISTRY


def varifocal_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 0.75,
    gamma: float = 2.0,
    iou_weighted: bool = True,
    reduction: str = "none",
) -> Tensor:
    """Binary cross entropy, weighted by q for positives and by alpha p^gamma for negatives.

    ``VFL(p, q) = -q (q log p + (1 - q) log(1 - p))`` where q > 0 and
    ``-alpha p^gamma log(1 - p)`` where q = 0, with p = sigmoid(logit). The weight of the negatives
    is part of the function: it is not detached.

    Args:
        logits: any shape, before the sigmoid.
        targets: same shape; q in [0, 1], the IoU-aware classification score of a positive.
        alpha: weight of the negatives.
        gamma: focusing exponent of the negatives.
        iou_weighted: weight a positive by its q (Table 2, last column); otherwise by 1.
        reduction: "none", "sum" or "mean".

    Returns:
        the loss, of the shape of ``logits`` for "none", else a scalar.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
    """
    check_same_shape("varifocal_loss", logits, targets)
    targets = targets.to(logits.dtype)
    positive = targets > 0
    focal = alpha * logits.sigmoid().pow(gamma)
    weight = torch.where(positive, targets if iou_weighted else torch.ones_like(targets), focal)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weight
    return reduce_loss(loss, reduction)


@CLS_LOSS_REGISTRY.register()
class VarifocalLoss(nn.Module):
    """Summed :func:`varifocal_loss`; its arguments are the columns of the paper's Table 2."""

    iou_aware: ClassVar[bool] = True

    def __init__(
        self, *, alpha: float = 0.75, gamma: float = 2.0, iou_weighted: bool = True
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.iou_weighted = iou_weighted

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits and targets, both (P, K), to the summed loss."""
        return varifocal_loss(
            logits,
            targets,
            alpha=self.alpha,
            gamma=self.gamma,
            iou_weighted=self.iou_weighted,
            reduction="sum",
        )
