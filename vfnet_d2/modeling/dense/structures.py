"""The values that travel between the parts of a detector.

Letters, here and everywhere: N images, L FPN levels, A anchors a cell, R anchors of an image over
all levels, M ground-truth boxes, K classes, P positive anchors, S box stages.
"""

import abc
import functools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class BoxesOnDemand(Sequence[Tensor], abc.ABC):
    """L maps (N, 4, H, W) of a box stage that are computed where they are looked at.

    Detections, and the losses of boxes, come from a small part of all anchors: who asks for these
    gets them without the rest.
    """

    @abc.abstractmethod
    def compute(self) -> list[Tensor]:
        """All L maps."""

    @abc.abstractmethod
    def at(self, image: Tensor, anchor: Tensor) -> Tensor:
        """Deltas (P, 4) of chosen anchors.

        Args:
            image: (P,) of the batch.
            anchor: (P,) index of the anchor among the R of all levels.
        """

    @functools.cached_property
    def maps(self) -> list[Tensor]:
        """All L maps, computed once."""
        return self.compute()

    def __getitem__(self, level):  # type: ignore[no-untyped-def]
        return self.maps[level]

    def __len__(self) -> int:
        return len(self.maps)


# Box deltas of a stage: all of them (N, R, 4), or those that are asked for.
Deltas = Tensor | BoxesOnDemand


class HeadOutputs(NamedTuple):
    """What a dense head predicts.

    Attributes:
        logits: L tensors (N, A*K, H, W), class scores before the sigmoid.
        boxes: S stages of L tensors (N, A*4, H, W), box deltas in the box coder's encoding; the
            last stage is the one used at test time and may be a :class:`BoxesOnDemand`.
        quality: L tensors (N, A, H, W) before the sigmoid (centerness), or None.
    """

    logits: list[Tensor]
    boxes: Sequence[Sequence[Tensor]]
    quality: list[Tensor] | None = None


class Assignment(NamedTuple):
    """Which ground-truth box each anchor answers for.

    Attributes:
        gt_idxs: (N, R) int64, index of the box within its own image; meaningless where the label
            is not 1.
        labels: (N, R) int8: 1 positive, 0 negative, -1 takes no part (outside the image's own
            padded area, or ambiguous).
    """

    gt_idxs: Tensor
    labels: Tensor


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
