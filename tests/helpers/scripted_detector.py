"""A one-stage detector that says what a test tells it to: one level of stride 32."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from vfnet_d2.losses.box import GIoULoss
from vfnet_d2.losses.varifocal import VarifocalLoss
from vfnet_d2.modeling.dense.box_coders import LinearDistances
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import (
    Assignment,
    DenseBoxes,
    HeadOutputs,
    assign_each_anchor,
)

NUM_CLASSES = 5
STRIDE = 32
SIDE = 64.0


class Ruler(Backbone):
    """Feature maps of the right size, and nothing in them."""

    size_divisibility = STRIDE

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, 3, H, W) to one map (N, 1, H/32, W/32)."""
        return {"p5": images[:, :1, ::STRIDE, ::STRIDE] * 0}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """One level."""
        return {"p5": ShapeSpec(channels=1, stride=STRIDE)}


class ScriptedHead(nn.Module):
    """Returns ``outputs`` one after the other, a forward pass each, and starts again."""

    def __init__(self, outputs: Sequence[HeadOutputs]) -> None:
        super().__init__()
        self.outputs = list(outputs)
        self.calls = 0

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """See the class."""
        del features
        self.calls += 1
        return self.outputs[(self.calls - 1) % len(self.outputs)]


class FixedMatcher:
    """Anchors that answer for the boxes of the first image that has some, by number."""

    def __init__(self, pairs: dict[int, int], *, ignored: Sequence[int] = ()) -> None:
        self.pairs, self.ignored = pairs, list(ignored)

    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Any = None,
        *,
        padded_sizes: Any = None,
    ) -> Assignment:
        """See the seam."""
        labels = torch.zeros(len(targets), sum(map(len, anchors)), dtype=torch.int8)
        gt_idxs = torch.zeros_like(labels, dtype=torch.long)
        labels[:, self.ignored] = -1
        for image, target in enumerate(targets):
            for anchor, gt in self.pairs.items() if len(target) else ():
                labels[image, anchor], gt_idxs[image, anchor] = 1, gt
        return assign_each_anchor(gt_idxs, labels)


def scripted_detector(
    outputs: Sequence[HeadOutputs], matcher: Any, *, coder: Any = None, ratios: Any = (1.0,)
) -> OneStageDetector:
    """Assemble a detector in evaluation mode; anchors of 64 x 64 pixels at multiples of 32."""
    return OneStageDetector(
        backbone=Ruler(),
        head=ScriptedHead(outputs),
        head_in_features=["p5"],
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[SIDE]], aspect_ratios=[list(ratios)], strides=[STRIDE], offset=0.0
        ),
        box_coder=coder or LinearDistances(),
        matcher=matcher,
        cls_loss=VarifocalLoss(),
        box_loss=GIoULoss(),
        num_classes=NUM_CLASSES,
    ).eval()


def silent_outputs(
    height: int, width: int, *, images: int = 1, anchors: int = 1, quality: bool = False
) -> HeadOutputs:
    """Maps for images of that size which score 1e-9 everywhere."""
    rows, columns = height // STRIDE, width // STRIDE
    return HeadOutputs(
        logits=[torch.full((images, anchors * NUM_CLASSES, rows, columns), -20.0)],
        boxes=[DenseBoxes([torch.full((images, anchors * 4, rows, columns), 0.5)])],
        quality=[torch.zeros(images, anchors, rows, columns)] if quality else None,
    )
