"""The template of a dense one-stage detector: a head, a matcher, losses, post-processing.

A detector is made by plugging parts in; a subclass exists only where a hook differs
(:meth:`~OneStageDetector.assign`, :meth:`~OneStageDetector.classified`,
:meth:`~OneStageDetector.box_weights`).
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import Backbone
from detectron2.modeling.meta_arch.dense_detector import DenseDetector, permute_to_N_HWA_K
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from vfnet_d2.components import lookup_name
from vfnet_d2.layers.precision import at_least_float32
from vfnet_d2.layers.reduce_mean import reduce_mean
from vfnet_d2.losses.box import BoxLoss, paired_iou
from vfnet_d2.losses.registry import ClassificationLoss
from vfnet_d2.modeling.matchers.registry import Matcher
from vfnet_d2.modeling.meta_arch.parts import parts_from_config
from vfnet_d2.modeling.postprocess import (
    CANDIDATE_SELECTORS,
    ClasswiseNMS,
    detect,
)
from vfnet_d2.modeling.structures import Assignment, HeadOutputs, Matches
from vfnet_d2.modeling.targets import check_targets, matched_targets


class OneStageDetector(DenseDetector):
    """A dense detector assembled from parts; see the module's text.

    Args:
        backbone: a Detectron2 backbone.
        head: see :class:`~vfnet_d2.modeling.heads.registry.DenseHead`.
        head_in_features: names of the L feature maps the head reads.
        anchor_generator: makes L ``Boxes`` from L feature maps.
        box_coder: has ``apply_deltas(deltas (P, 4), anchors (P, 4)) -> (P, 4)``.
        matcher: see :class:`~vfnet_d2.modeling.matchers.registry.Matcher`.
        cls_loss: see :class:`~vfnet_d2.losses.registry.ClassificationLoss`.
        box_loss: see :class:`~vfnet_d2.losses.box.BoxLoss`.
        num_classes: K.
        box_loss_weights: one factor per box stage.
        score_thresh: a detection scores strictly more.
        topk_candidates: candidates kept per level before suppression.
        candidate_unit: what these count, "pairs" of anchor and class, or "points".
        nms_thresh: IoU above which the worse of two boxes of a class goes.
        max_detections_per_image: most detections of an image.
        pixel_mean: per channel, in the channel order and range of the input images.
        pixel_std: likewise.
        input_format: "RGB" or "BGR", the channel order the model expects.

    Raises:
        ValueError: unknown candidate unit.
    """

    BOX_LOSS_NAMES = ("loss_bbox", "loss_bbox_refine")

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        head: nn.Module,
        head_in_features: Sequence[str],
        anchor_generator: nn.Module,
        box_coder: Any,
        matcher: Matcher,
        cls_loss: ClassificationLoss,
        box_loss: BoxLoss,
        num_classes: int,
        box_loss_weights: Sequence[float] = (1.5, 2.0),
        score_thresh: float = 0.05,
        topk_candidates: int = 1000,
        candidate_unit: str = "pairs",
        nms_thresh: float = 0.6,
        max_detections_per_image: int = 100,
        pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
        pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
        input_format: str = "RGB",
    ) -> None:
        super().__init__(
            backbone, head, list(head_in_features), pixel_mean=pixel_mean, pixel_std=pixel_std
        )
        self.select = lookup_name(CANDIDATE_SELECTORS, candidate_unit, key="candidate_unit")
        self.anchor_generator = anchor_generator
        self.box_coder = box_coder
        self.matcher = matcher
        self.cls_loss = cls_loss
        self.box_loss = box_loss
        self.num_classes = num_classes
        self.box_loss_weights = tuple(box_loss_weights)
        self.score_thresh = score_thresh
        self.topk_candidates = topk_candidates
        self.suppression = ClasswiseNMS(nms_thresh)
        self.max_detections_per_image = max_detections_per_image
        self.input_format = input_format

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Map ``cfg.MODEL.ONE_STAGE`` and Detectron2's own nodes to the constructor's arguments."""
        return parts_from_config(cfg)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, detections otherwise; see Detectron2's model conventions."""
        if self.training:
            check_targets(batched_inputs, self.num_classes)
        return super().forward(batched_inputs)

    # -- training ---------------------------------------------------------------------------------

    def forward_training(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: HeadOutputs,
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, in float32 also under autocast."""
        with torch.autocast(self.device.type, enabled=False):
            anchors = self.anchor_generator(features)
            logits = _flatten(predictions.logits, self.num_classes)
            deltas = [_flatten(stage, 4) for stage in predictions.boxes]
            assignment = self.assign(anchors, gt_instances, predictions)
            return self.losses(Boxes.cat(anchors).tensor, logits, deltas, assignment, gt_instances)

    def losses(
        self,
        anchors: Tensor,
        logits: Tensor,
        deltas: list[Tensor],
        assignment: Assignment,
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """Compute the losses from flattened predictions.

        Args:
            anchors: (R, 4) in pixels.
            logits: (N, R, K).
            deltas: S tensors (N, R, 4).
            assignment: of the N x R anchors.
            gt_instances: N ``Instances``.

        Returns:
            ``loss_cls`` and one loss per box stage, scalars.
        """
        image, anchor = torch.nonzero(assignment.labels == 1, as_tuple=True)
        gt_boxes, gt_classes = matched_targets(
            gt_instances, assignment.gt_idxs[image, anchor], image
        )
        predicted = [
            self.box_coder.apply_deltas(stage[image, anchor], anchors[anchor]) for stage in deltas
        ]
        ious = [paired_iou(boxes.detach(), gt_boxes) for boxes in predicted]
        matches = Matches(image, anchor, gt_boxes, gt_classes, ious)
        weights = [self.box_weights(matches, stage) for stage in range(len(deltas))]
        # One collective for all normalisers, on every step and every rank.
        sums = [logits.new_tensor(float(len(image)))] + [weight.sum() for weight in weights]
        normalizers = reduce_mean(torch.stack(sums)).clamp(min=1)

        counted = self.classified(assignment)
        targets = self.cls_targets(matches, logits)
        losses = {"loss_cls": self.cls_loss(logits[counted], targets[counted]) / normalizers[0]}
        for stage, boxes in enumerate(predicted):
            loss = (self.box_loss(boxes, gt_boxes) * weights[stage]).sum()
            scale = self.box_loss_weights[stage] / normalizers[stage + 1]
            losses[self.BOX_LOSS_NAMES[stage]] = loss * scale
        return losses

    def assign(
        self, anchors: list[Boxes], gt_instances: list[Instances], predictions: HeadOutputs
    ) -> Assignment:
        """Hook: which anchor answers for which box. Default: the matcher, on anchors alone."""
        del predictions
        return self.matcher(anchors, gt_instances)

    def classified(self, assignment: Assignment) -> Tensor:
        """Hook: (N, R) mask of the anchors that the classification loss counts."""
        return assignment.labels >= 0

    def box_weights(self, matches: Matches, stage: int) -> Tensor:
        """Hook: (P,) weights of a stage's box losses; the loss is divided by their sum."""
        return torch.ones_like(matches.ious[stage])

    def cls_targets(self, matches: Matches, logits: Tensor) -> Tensor:
        """Targets (N, R, K): 0, and at each positive's class 1 or the IoU of its last box."""
        targets = torch.zeros_like(logits)
        quality = torch.ones_like(matches.ious[-1])
        if self.cls_loss.iou_aware:
            quality = self.iou_target(matches)
        targets[matches.image, matches.anchor, matches.gt_classes] = quality
        return targets

    def iou_target(self, matches: Matches) -> Tensor:
        """Hook: (P,) IoU-aware classification scores (IACS) of the positives."""
        return matches.ious[-1]

    # -- inference --------------------------------------------------------------------------------

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: HeadOutputs
    ) -> list[Instances]:
        """Return the detections of each image, in the coordinates of the network's input."""
        anchors = [boxes.tensor for boxes in self.anchor_generator(features)]
        logits = [
            permute_to_N_HWA_K(at_least_float32(x), self.num_classes) for x in predictions.logits
        ]
        deltas = [permute_to_N_HWA_K(at_least_float32(x), 4) for x in predictions.boxes[-1]]
        select = functools.partial(
            self.select,
            score_thresh=self.score_thresh,
            topk=self.topk_candidates,
        )
        return detect(
            logits,
            deltas,
            anchors,
            images.image_sizes,
            select=select,
            decode=self.box_coder.apply_deltas,
            suppression=self.suppression,
            max_detections=self.max_detections_per_image,
        )


def _flatten(levels: list[Tensor], channels: int) -> Tensor:
    """Join L maps (N, A*channels, H, W) to (N, R, channels), at least float32."""
    return at_least_float32(torch.cat([permute_to_N_HWA_K(x, channels) for x in levels], dim=1))
