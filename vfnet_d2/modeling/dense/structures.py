"""The values that travel between the parts of a detector.

Letters, here and everywhere: N images, L FPN levels, A anchors a cell, R anchors of an image over
all levels, M ground-truth boxes, K classes, P positive anchors, S box stages.
"""

import abc
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from torch import Tensor

from vfnet_d2.layers.precision import at_least_float32


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


class BoxStage(abc.ABC):
    """The box deltas that a head predicts in one stage, in the box coder's encoding.

    Detections, and the losses of boxes, come from a small part of all anchors: those who ask for
    these by :meth:`at` get them, from some stages without the cost of the rest.
    """

    @abc.abstractmethod
    def maps(self) -> list[Tensor]:
        """Return L maps (N, A*4, H, W) of all deltas."""

    @abc.abstractmethod
    def at(self, image: Tensor, anchor: Tensor) -> Tensor:
        """Return the deltas (P, 4) of chosen anchors, at least float32.

        Args:
            image: (P,) of the batch.
            anchor: (P,) index of the anchor among the R of all levels.
        """

    def flat(self) -> Tensor:
        """Return all deltas (N, R, 4), at least float32."""
        return flatten(self.maps(), 4)


class DenseBoxes(BoxStage):
    """Deltas that are all there.

    Args:
        levels: L maps (N, A*4, H, W).
    """

    def __init__(self, levels: Sequence[Tensor]) -> None:
        self._levels = list(levels)

    def maps(self) -> list[Tensor]:
        """See :class:`BoxStage`."""
        return self._levels

    def at(self, image: Tensor, anchor: Tensor) -> Tensor:
        """See :class:`BoxStage`."""
        return self._flat[image, anchor]

    def flat(self) -> Tensor:
        """See :class:`BoxStage`."""
        return self._flat

    @functools.cached_property
    def _flat(self) -> Tensor:
        return super().flat()


class HeadOutputs(NamedTuple):
    """What a dense head predicts.

    Attributes:
        logits: L tensors (N, A*K, H, W), class scores before the sigmoid.
        boxes: S stages; the last one counts at test time.
        quality: L tensors (N, A, H, W) before the sigmoid (centerness), or None.
    """

    logits: list[Tensor]
    boxes: Sequence[BoxStage]
    quality: list[Tensor] | None = None


class Assignment(NamedTuple):
    """Which anchors answer for which ground-truth boxes.

    Attributes:
        labels: (N, R) int8: 1 positive, 0 negative, -1 takes no part (outside the image's own
            padded area, or ambiguous).
        image: (P,) int64, image of each positive pair of anchor and box.
        anchor: (P,) int64, its anchor among the R of the image. A pair may occur twice.
        gt: (P,) int64, its box, by number within the image.
    """

    labels: Tensor
    image: Tensor
    anchor: Tensor
    gt: Tensor


def assign_each_anchor(gt_idxs: Tensor, labels: Tensor) -> Assignment:
    """Return the assignment of anchors that answer for one box at most.

    Args:
        gt_idxs: (N, R) int64, box of each anchor; not looked at where the label is not 1.
        labels: (N, R) int8, see :class:`Assignment`.
    """
    image, anchor = torch.nonzero(labels == 1, as_tuple=True)
    return Assignment(labels, image, anchor, gt_idxs[image, anchor])


def last_pairs(assignment: Assignment) -> Tensor:
    """Return the mask (P,) of the pairs that are the last of a positive anchor, in their order.

    There is one for each positive anchor, if each has a pair.
    """
    labels, image, anchor, _ = assignment
    key = image * labels.shape[1] + anchor
    order = torch.arange(len(key), device=key.device)
    last = torch.full_like(labels, -1, dtype=order.dtype).flatten()
    last.scatter_reduce_(0, key, order, "amax")
    return (last[key] == order) & (labels.flatten()[key] == 1)


class Matches(NamedTuple):
    """The P positive anchors of a batch in one box stage, and what they answer for.

    Attributes:
        image: (P,) image of the anchor.
        anchor: (P,) index of the anchor within the image.
        anchor_boxes: (P, 4) the anchor itself in pixels.
        gt_boxes: (P, 4) ground-truth boxes in pixels.
        gt_classes: (P,) their classes.
        boxes: (P, 4) the stage's predictions in pixels, detached.
        ious: (P,) their IoU with the ground truth, detached.
    """

    image: Tensor
    anchor: Tensor
    anchor_boxes: Tensor
    gt_boxes: Tensor
    gt_classes: Tensor
    boxes: Tensor
    ious: Tensor

    def at(self, chosen: Any) -> "Matches":
        """Return those that an index along P chooses."""
        return Matches(*(values[chosen] for values in self))
