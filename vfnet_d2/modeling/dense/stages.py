"""From a head's maps to predictions per anchor, and from these to the losses of a box stage."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Instances
from torch import Tensor
from torch.nn import functional as F

from vfnet_d2.layers.precision import at_least_float32
from vfnet_d2.losses.box import BoxLoss, paired_iou
from vfnet_d2.modeling.dense.structures import Assignment, BoxesOnDemand, Deltas, Matches
from vfnet_d2.modeling.dense.targets import matched_targets


def box_loss_name(stage: int) -> str:
    """Return the name of a box stage's loss: "loss_bbox", then "_refine", "_refine2", ..."""
    if stage == 0:
        return "loss_bbox"
    return "loss_bbox_refine" + (str(stage) if stage > 1 else "")


def per_anchor(levels: Sequence[Tensor], channels: int) -> list[Tensor]:
    """Turn L maps (N, A*channels, H, W) into (N, H*W*A, channels), at least float32."""
    return [_rows(at_least_float32(level), channels) for level in levels]


def _rows(level: Tensor, channels: int) -> Tensor:
    if level.shape[1] == channels:  # one anchor a cell: a view does, and most of it is never read
        return level.flatten(2).transpose(1, 2)
    return permute_to_N_HWA_K(level, channels)


def flatten(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Join L maps (N, A*channels, H, W) to (N, R, channels), at least float32."""
    return torch.cat(per_anchor(levels, channels), dim=1)


def stage_deltas(stage: Sequence[Tensor]) -> Deltas:
    """Return deltas (N, R, 4), at least float32, of a stage's L maps; deltas on demand stay so."""
    return stage if isinstance(stage, BoxesOnDemand) else flatten(stage, 4)


def match_stage(
    anchors: Tensor,
    deltas: Deltas,
    assignment: Assignment,
    targets: list[Instances],
    *,
    coder: Any,
    loss: BoxLoss,
) -> tuple[Matches, Tensor]:
    """Find the positives of a box stage and the losses of their boxes.

    Args:
        anchors: (R, 4) in pixels.
        deltas: in the coder's encoding.
        assignment: of the N x R anchors.
        targets: N ``Instances``.
        coder: the box coder.
        loss: compares boxes, or their encodings.

    Returns:
        the P positives and their losses (P,), neither weighted nor normalised.
    """
    image, anchor = torch.nonzero(assignment.labels == 1, as_tuple=True)
    gt_boxes, gt_classes = matched_targets(targets, assignment.gt_idxs[image, anchor], image)
    if isinstance(deltas, BoxesOnDemand):
        chosen = deltas.at(image, anchor)
    else:
        chosen = deltas[image, anchor]
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


def quality_loss(quality: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """Return the summed cross-entropy of the positives' quality.

    Args:
        quality: (N, R) before the sigmoid.
        labels: (N, R), 1 at the positives.
        wanted: (P,) in [0, 1].
    """
    return F.binary_cross_entropy_with_logits(quality[labels == 1], wanted, reduction="sum")


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
