"""From the predictions of a box stage to its positives and losses."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor
from torch.nn import functional as F

from vfnet_d2.losses.box import BoxLoss, paired_iou
from vfnet_d2.modeling.dense.structures import Assignment, BoxStage, Matches, flatten
from vfnet_d2.modeling.dense.targets import matched_targets


def box_loss_name(stage: int) -> str:
    """Return the name of a box stage's loss: "loss_bbox", then "_refine", "_refine2", ..."""
    if stage == 0:
        return "loss_bbox"
    return "loss_bbox_refine" + (str(stage) if stage > 1 else "")


def match_stage(
    anchors: Tensor,
    deltas: BoxStage,
    assignment: Assignment,
    targets: list[Instances],
    *,
    coder: Any,
    loss: BoxLoss,
) -> tuple[Matches, Tensor]:
    """Find the positives of a box stage and the losses of their boxes.

    Args:
        anchors: (R, 4) in pixels.
        deltas: of the stage.
        assignment: of the N x R anchors.
        targets: N ``Instances``.
        coder: the box coder.
        loss: compares boxes, or their encodings.

    Returns:
        the P positives and their losses (P,), neither weighted nor normalised.
    """
    _, image, anchor, gt = assignment
    gt_boxes, gt_classes = matched_targets(targets, gt, image)
    chosen = deltas.at(image, anchor)
    anchor_boxes = anchors[anchor]
    boxes = coder.apply_deltas(chosen, anchor_boxes)
    found = boxes.detach()
    ious = paired_iou(found, gt_boxes)
    matches = Matches(image, anchor, anchor_boxes, gt_boxes, gt_classes, found, ious)
    if loss.encoded:
        return matches, loss(chosen, coder.get_deltas(anchor_boxes, gt_boxes))
    return matches, loss(boxes, gt_boxes)


def class_targets(matches: Matches, score: Tensor | float, logits: Tensor) -> Tensor:
    """Return targets (N, R, K) of the logits: 0, and ``score`` at each positive's class."""
    targets = torch.zeros_like(logits)
    # Some coders decode to float32 whatever the network's precision.
    values = torch.as_tensor(score, dtype=logits.dtype, device=logits.device)
    targets[matches.image, matches.anchor, matches.gt_classes] = values
    return targets


def quality_loss(quality: Sequence[Tensor], matches: Matches, wanted: Tensor) -> Tensor:
    """Return the summed cross-entropy of the positives' quality.

    Args:
        quality: L maps (N, A, H, W) before the sigmoid.
        matches: the P positives.
        wanted: (P,) in [0, 1].
    """
    predicted = flatten(quality, 1)[matches.image, matches.anchor, 0]
    return F.binary_cross_entropy_with_logits(predicted, wanted, reduction="sum")


def box_losses(
    losses: Sequence[Tensor], factors: Sequence[float], normalizers: Tensor
) -> dict[str, Tensor]:
    """Return the loss of each of S box stages, by name: see :func:`box_loss_name`.

    Args:
        losses: S tensors (P,), weighted.
        factors: one per stage; fewer stages than factors take the last ones.
        normalizers: (S,).

    Raises:
        ValueError: fewer factors than stages.
    """
    if len(factors) < len(losses):
        raise ValueError(
            f"the head predicts {len(losses)} stages of boxes, but box_loss_weights "
            f"(MODEL.ONE_STAGE.BOX_LOSS_WEIGHTS) is {tuple(factors)}; give one weight a stage"
        )
    stages = zip(losses, factors[-len(losses) :], normalizers, strict=True)
    return {
        box_loss_name(stage): loss.sum() * (factor / normalizer)
        for stage, (loss, factor, normalizer) in enumerate(stages)
    }
