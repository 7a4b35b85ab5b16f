"""IoU of box pairs, and the GIoU and smooth-L1 losses.

Boxes are (P, 4) tensors in xyxy order and pixels; row i of one belongs to row i of the other.
"""

from typing import ClassVar, Protocol, runtime_checkable

import torch
from fvcore.nn import smooth_l1_loss
from torch import Tensor, nn

from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY

IOU_EPS = 1e-6
GIOU_EPS = 1e-7


@runtime_checkable
class BoxLoss(Protocol):
    """Seam: loss of P predicted boxes, unreduced; weights and normaliser come from the detector.

    ``encoded`` says what it compares: deltas in the box coder's encoding (True) or boxes in pixels.
    """

    encoded: ClassVar[bool]

    def __call__(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Map predicted and target boxes or deltas (P, 4) to losses (P,)."""
        ...


def _intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Areas (P,) of intersection and union of the boxes of a row, in square pixels."""
    left1, top1, right1, bottom1 = boxes1.unbind(-1)
    left2, top2, right2, bottom2 = boxes2.unbind(-1)
    area1 = (right1 - left1) * (bottom1 - top1)
    area2 = (right2 - left2) * (bottom2 - top2)
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    height = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0)
    intersection = width * height
    return intersection, area1 + area2 - intersection


def paired_iou(boxes1: Tensor, boxes2: Tensor, *, eps: float = IOU_EPS) -> Tensor:
    """IoU (P,) of the boxes of each row, in [0, 1].

    Args:
        boxes1: (P, 4), or any shape that ends in 4.
        boxes2: (P, 4), or a shape that broadcasts with the other.
        eps: smallest union in square pixels, so that two empty boxes have IoU 0 and not NaN.
    """
    intersection, union = _intersection_and_union(boxes1, boxes2)
    return intersection / union.clamp(min=eps)


def giou_loss(predicted: Tensor, target: Tensor, *, eps: float = GIOU_EPS) -> Tensor:
    """Generalised IoU loss 1 - GIoU (P,), in [0, 2] (Rezatofighi et al., CVPR 2019, Alg. 1).

    fvcore's ``giou_loss`` adds ``eps`` to the areas, which moves the loss of sub-pixel boxes, and
    refuses inverted boxes with an assertion that makes a GPU wait; the reference clamps instead.

    Args:
        predicted: (P, 4).
        target: (P, 4).
        eps: smallest union and enclosing area, in square pixels.
    """
    intersection, union = _intersection_and_union(predicted, target)
    iou = intersection / union.clamp(min=eps)
    top_left = torch.minimum(predicted[:, :2], target[:, :2])
    bottom_right = torch.maximum(predicted[:, 2:], target[:, 2:])
    enclosing = (bottom_right - top_left).clamp(min=0).prod(dim=1).clamp(min=eps)
    return 1 - (iou - (enclosing - union) / enclosing)


@BOX_LOSS_REGISTRY.register()
class GIoULoss(nn.Module):
    """Shell of :func:`giou_loss` for configs."""

    encoded: ClassVar[bool] = False

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Map boxes (P, 4) and (P, 4) to losses (P,)."""
        return giou_loss(predicted, target)


@BOX_LOSS_REGISTRY.register()
class SmoothL1Loss(nn.Module):
    """fvcore's smooth-L1 loss of encoded boxes, summed over the four numbers of a box.

    Args:
        beta: differences below it cost quadratically; 0 makes it the L1 loss.
    """

    encoded: ClassVar[bool] = True

    def __init__(self, *, beta: float = 0.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Map deltas (P, 4) and (P, 4) to losses (P,)."""
        return smooth_l1_loss(predicted, target, beta=self.beta, reduction="none").sum(dim=1)
