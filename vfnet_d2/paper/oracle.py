"""Oracles at test time (VarifocalNet paper, Table 1): what if a part of the output were right?

At the foreground points, and nowhere else, a part of a head's outputs is replaced by what the
ground truth says. How far AP rises shows what that part costs. The paper's figures (FCOS+ATSS on
COCO val2017, without / with centerness): as predicted 38.5 / 39.2; true centerness 41.1;
centerness := IoU 43.5; true boxes 56.1 / 56.3; class score := 1 43.1 / 58.1; class score := IoU
74.7 / 67.4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs, Matches, flatten


class Foreground(NamedTuple):
    """The P foreground points of a batch and what a head should predict there.

    Attributes:
        matches: the points, and the IoU of the predicted box of each with its ground truth.
        deltas: (P, 4) encoded ground-truth boxes.
        centerness: (P,) what the quality branch should say, in [0, 1]; None without a branch.
    """

    matches: Matches
    deltas: Tensor
    centerness: Tensor | None


class Column(NamedTuple):
    """A column of Table 1.

    Attributes:
        name: a key for files.
        label: for readers.
        replace: returns new outputs for given outputs and foreground.
        quality: whether the centerness branch ranks the detections.
    """

    name: str
    label: str
    replace: Callable[[HeadOutputs, Foreground], HeadOutputs]
    quality: bool


def keep(outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Replace nothing."""
    del foreground
    return outputs


def replace_centerness(outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Centerness := the true centerness."""
    if foreground.centerness is None:
        raise ValueError("the model has no quality branch whose output could be replaced")
    return _replace_quality(outputs, foreground, foreground.centerness)


def replace_centerness_by_iou(outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Centerness := IoU of the predicted box with its ground truth."""
    return _replace_quality(outputs, foreground, foreground.matches.ious)


def replace_boxes(outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Boxes of the last stage := the ground-truth boxes."""
    boxes = put_at_points(
        outputs.boxes[-1].maps(),
        foreground.matches,
        foreground.deltas,
        channels=4,
        channel=slice(None),
    )
    return outputs._replace(boxes=[*outputs.boxes[:-1], DenseBoxes(boxes)])


def replace_scores(outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Score of the true class := 1."""
    return _replace_true_class(outputs, foreground, torch.ones_like(foreground.matches.ious))


def replace_scores_by_iou(outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Score of the true class := IoU of the predicted box with its ground truth."""
    return _replace_true_class(outputs, foreground, foreground.matches.ious)


# In the paper's order; a model without a centerness branch has those without it.
COLUMNS = (
    Column("predicted", "as predicted", keep, quality=False),
    Column("predicted_centerness", "as predicted", keep, quality=True),
    Column("true_centerness", "centerness := true centerness", replace_centerness, quality=True),
    Column("iou_centerness", "centerness := IoU", replace_centerness_by_iou, quality=True),
    Column("true_boxes", "boxes := ground truth", replace_boxes, quality=False),
    Column("true_boxes_centerness", "boxes := ground truth", replace_boxes, quality=True),
    Column("score_one", "class score := 1", replace_scores, quality=False),
    Column("score_one_centerness", "class score := 1", replace_scores, quality=True),
    Column("score_iou", "class score := IoU", replace_scores_by_iou, quality=False),
    Column("score_iou_centerness", "class score := IoU", replace_scores_by_iou, quality=True),
)


def columns_for(*, quality: bool) -> list[Column]:
    """Return the columns of a model with or without a quality (centerness) branch."""
    return [column for column in COLUMNS if quality or not column.quality]


def apply_column(column: Column, outputs: HeadOutputs, foreground: Foreground) -> HeadOutputs:
    """Return the outputs of a head as a column of the table has them."""
    replaced = column.replace(outputs, foreground)
    return replaced if column.quality else replaced._replace(quality=None)


def point_scores(outputs: HeadOutputs, matches: Matches) -> Tensor:
    """Scores (P,) that the model gives the true class of each foreground point.

    With a quality branch it counts too, as at test time.
    """
    logits = flatten(outputs.logits, _num_classes(outputs))
    scores = logits[matches.image, matches.anchor, matches.gt_classes].sigmoid()
    if outputs.quality is None:
        return scores
    quality = flatten(outputs.quality, 1)[matches.image, matches.anchor, 0]
    return scores * quality.sigmoid()


def put_at_points(
    levels: Sequence[Tensor],
    matches: Matches,
    values: Tensor,
    *,
    channels: int,
    channel: Tensor | slice,
) -> list[Tensor]:
    """Return copies of a head's maps with other values at the foreground points.

    Args:
        levels: L tensors (N, A*channels, H, W).
        matches: the P points.
        values: (P,) for one channel of each point, or (P, channels) for all.
        channels: numbers per anchor.
        channel: (P,) which channel of each point is replaced, or ``slice(None)`` for all.
    """
    flat = flatten(levels, channels)
    flat[matches.image, matches.anchor, channel] = values.to(flat.dtype)
    return unflatten(flat, levels, channels)


def unflatten(flat: Tensor, levels: Sequence[Tensor], channels: int) -> list[Tensor]:
    """Undo :func:`~vfnet_d2.modeling.dense.structures.flatten`.

    Args:
        flat: (N, R, channels).
        levels: L tensors (N, A*channels, H, W) whose shapes the result takes.
        channels: numbers per anchor.
    """
    counts = [level[0].numel() // channels for level in levels]
    maps = []
    for part, level in zip(flat.split(counts, dim=1), levels, strict=True):
        images, _, height, width = level.shape
        cells = part.reshape(images, height, width, -1, channels)
        maps.append(cells.permute(0, 3, 4, 1, 2).reshape(level.shape))
    return maps


def _replace_quality(outputs: HeadOutputs, foreground: Foreground, values: Tensor) -> HeadOutputs:
    if outputs.quality is None:
        raise ValueError("the model has no quality branch whose output could be replaced")
    quality = put_at_points(
        outputs.quality,
        foreground.matches,
        _logit(values)[:, None],
        channels=1,
        channel=slice(None),
    )
    return outputs._replace(quality=quality)


def _replace_true_class(
    outputs: HeadOutputs, foreground: Foreground, values: Tensor
) -> HeadOutputs:
    logits = put_at_points(
        outputs.logits,
        foreground.matches,
        _logit(values),
        channels=_num_classes(outputs),
        channel=foreground.matches.gt_classes,
    )
    return outputs._replace(logits=logits)


def _num_classes(outputs: HeadOutputs) -> int:
    anchors = outputs.boxes[-1].maps()[0].shape[1] // 4
    return outputs.logits[0].shape[1] // anchors


def _logit(values: Tensor) -> Tensor:
    """Inverse of the sigmoid: 0 and 1 become -inf and inf, which it takes back exactly."""
    return values.clamp(0, 1).logit()  # rounding may have left an IoU just above 1
