"""The template of a dense one-stage detector: a head, a matcher, losses, post-processing.

Plug parts in to make a detector; a subclass exists only where a method marked "Hook" differs.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import Backbone
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from vfnet_d2.layers.deform.backend import set_deform_conv
from vfnet_d2.layers.memory_format import lay_out
from vfnet_d2.layers.reduce_mean import reduce_mean
from vfnet_d2.losses.box import BoxLoss
from vfnet_d2.losses.registry import ClassificationLoss
from vfnet_d2.modeling.dense.matchers.own_padding import pad_sizes
from vfnet_d2.modeling.dense.matchers.registry import Matcher
from vfnet_d2.modeling.dense.parts import ONE_STAGE_PARTS, Parts, parts_from_config
from vfnet_d2.modeling.dense.postprocess import CANDIDATE_SELECTORS, detect
from vfnet_d2.modeling.dense.stages import box_losses, class_targets, match_stage, quality_loss
from vfnet_d2.modeling.dense.structures import Assignment, BoxStage, HeadOutputs, Matches, flatten
from vfnet_d2.modeling.dense.targets import MIN_IOU, centerness, check_targets, count_positives
from vfnet_d2.modeling.detector import InferenceSettings, ModelInputs, in_original_size
from vfnet_d2.modeling.suppression import ClasswiseNMS, Suppression
from vfnet_d2.utils.registry import lookup_name


class OneStageDetector(DenseDetector):
    """A dense detector assembled from parts; see the module's text.

    Args:
        backbone: a Detectron2 backbone.
        head: see :class:`~vfnet_d2.modeling.dense.heads.registry.DenseHead`.
        head_in_features: names of the L feature maps the head reads.
        anchor_generator: makes L ``Boxes`` from L feature maps.
        box_coder: see :mod:`vfnet_d2.modeling.dense.box_coders`.
        matcher: see :class:`~vfnet_d2.modeling.dense.matchers.registry.Matcher`.
        cls_loss: see :class:`~vfnet_d2.losses.registry.ClassificationLoss`.
        box_loss: see :class:`~vfnet_d2.losses.box.BoxLoss`.
        num_classes: K.
        box_loss_weights: one factor per box stage; a head with fewer stages takes the last ones.
        score_thresh: a detection scores strictly more.
        topk_candidates: candidates kept per level before suppression.
        candidate_unit: what these count, a key of ``CANDIDATE_SELECTORS``.
        nms_thresh: IoU above which the worse of two boxes of a class goes.
        suppression: how duplicates go; None for NMS within each class at ``nms_thresh``.
        max_detections_per_image: most detections of an image.
        deform_conv: how star and DCNv2 layers compute, see :mod:`vfnet_d2.layers.deform.backend`.
        pixel_mean, pixel_std: per channel, in the order and range of the input images.
        input_format: the channel order the model expects, "RGB" or "BGR".

    Raises:
        ValueError: unknown candidate unit or deformable convolution.
    """

    num_classes_key: ClassVar[str] = "MODEL.ONE_STAGE.NUM_CLASSES"
    PARTS: ClassVar[Parts] = ONE_STAGE_PARTS  # that a YAML config builds; a subclass adds its own

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
        suppression: Suppression | None = None,
        max_detections_per_image: int = 100,
        deform_conv: str = "auto",
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
        self.suppression = suppression or ClasswiseNMS(nms_thresh)
        self.max_detections_per_image = max_detections_per_image
        self.input_format = input_format
        set_deform_conv(self, deform_conv)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Map ``cfg.MODEL.ONE_STAGE`` and Detectron2's own nodes to the constructor's arguments."""
        return parts_from_config(cfg, cls)

    @property
    def inference_settings(self) -> InferenceSettings:
        """See :class:`~vfnet_d2.modeling.detector.Detector`."""
        return InferenceSettings(self.score_thresh, self.max_detections_per_image, self.suppression)

    def classifiers(self) -> dict[str, int]:
        """See :class:`~vfnet_d2.modeling.detector.Detector`."""
        return {"head.cls_pred": getattr(self.head, "num_anchors", 1)}

    def preprocess_image(self, batched_inputs: ModelInputs) -> ImageList:
        """Normalise, pad and join the images, in the device's memory format."""
        images = super().preprocess_image(batched_inputs)
        return ImageList(lay_out(images.tensor), images.image_sizes)

    def network(self, images: Tensor) -> HeadOutputs:
        """Map normalised, padded images (N, 3, H, W) to the head's outputs."""
        maps = self.backbone(images)
        return self.head([maps[name] for name in self.head_in_features])  # type: ignore[no-any-return]

    def forward(self, batched_inputs: ModelInputs) -> Any:
        """Return losses in training, detections otherwise; see Detectron2's model conventions."""
        if not self.training:
            return self.inference(batched_inputs)
        check_targets(batched_inputs, self.num_classes)
        images = self.preprocess_image(batched_inputs)
        targets = [item["instances"].to(self.device) for item in batched_inputs]
        return self.losses(self.network(images.tensor), targets)

    def inference(
        self, batched_inputs: ModelInputs, settings: InferenceSettings | None = None
    ) -> list[dict[str, Any]]:
        """See :class:`~vfnet_d2.modeling.detector.Detector`."""
        images = self.preprocess_image(batched_inputs)
        found = self.detections(self.network(images.tensor), images.image_sizes, settings)
        return in_original_size(found, batched_inputs)

    def detections(
        self,
        outputs: HeadOutputs,
        image_sizes: Sequence[tuple[int, int]],
        settings: InferenceSettings | None = None,
    ) -> list[Instances]:
        """Return the detections of each image, in pixels of the network's input.

        Args:
            outputs: of :meth:`network`, for N images.
            image_sizes: of the N images without padding, (height, width).
            settings: None for :attr:`inference_settings`.
        """
        return detect(
            outputs,
            [boxes.tensor for boxes in self.anchor_generator(outputs.logits)],
            image_sizes,
            num_classes=self.num_classes,
            select=self.select,
            topk=self.topk_candidates,
            decode=self.box_coder.apply_deltas,
            settings=settings or self.inference_settings,
        )

    def losses(self, outputs: HeadOutputs, gt_instances: list[Instances]) -> dict[str, Tensor]:
        """Return the losses of a batch, computed in float32 also under autocast.

        Args:
            outputs: of :meth:`network`, for N images.
            gt_instances: N ``Instances`` with ``gt_boxes`` in pixels and ``gt_classes``.

        Returns:
            ``loss_cls``, one per box stage and, of heads with a quality, ``loss_centerness``.
        """
        with torch.autocast(self.device.type, enabled=False):
            anchors = self.anchor_generator(outputs.logits)
            assignments = self.assign(anchors, gt_instances, outputs.boxes)
            flat = Boxes.cat(anchors).tensor
            stages = [
                match_stage(flat, *stage, gt_instances, coder=self.box_coder, loss=self.box_loss)
                for stage in zip(outputs.boxes, assignments, strict=True)
            ]
            logits = flatten(outputs.logits, self.num_classes)
            last, (matches, _) = assignments[-1], stages[-1]
            weights = [self.box_weights(matches) for matches, _ in stages]
            # One collective for all normalisers, on every step and every rank.
            sums = [self.cls_normalizer(last), *map(self.box_normalizer, assignments, weights)]
            normalizers = reduce_mean(torch.stack([x.to(logits.dtype) for x in sums])).clamp(min=1)
            counted = self.classified(last)
            positives = matches.at(self.classifying(last))
            score = self.iou_target(positives, gt_instances) if self.cls_loss.iou_aware else 1.0
            targets = class_targets(positives, score, logits)
            losses = {"loss_cls": self.cls_loss(logits[counted], targets[counted]) / normalizers[0]}
            weighted = [loss * weight for (_, loss), weight in zip(stages, weights, strict=True)]
            losses |= box_losses(weighted, self.box_loss_weights, normalizers[1:])
            if outputs.quality is not None:
                entropy = quality_loss(outputs.quality, matches, self.quality_targets(matches))
                losses["loss_centerness"] = entropy / normalizers[0]
            return losses

    def assign(
        self, anchors: list[Boxes], gt_instances: list[Instances], stages: Sequence[BoxStage]
    ) -> list[Assignment]:
        """Hook: which anchor answers for which box, per stage. Default: the matcher, for all."""
        padded_sizes = self.padded_sizes(gt_instances)
        return [self.matcher(anchors, gt_instances, padded_sizes=padded_sizes)] * len(stages)

    def padded_sizes(self, gt_instances: list[Instances]) -> list[tuple[int, int]]:
        """Return (height, width) of each image with the padding that the backbone needs."""
        return pad_sizes(self.backbone, [target.image_size for target in gt_instances])

    def classified(self, assignment: Assignment) -> Tensor:
        """Hook: (N, R) mask of the anchors that the classification loss counts.

        Default: all if it is IoU-aware, padding as background; else those that take part.
        """
        if self.cls_loss.iou_aware:
            return torch.ones_like(assignment.labels, dtype=torch.bool)
        return assignment.labels >= 0

    def classifying(self, assignment: Assignment) -> Any:
        """Hook: which of the P pairs, by an index, say what their anchor shows. Default: all."""
        return slice(None)

    def cls_normalizer(self, assignment: Assignment) -> Tensor:
        """Hook: what the classification and quality losses are divided by, a scalar."""
        return count_positives(assignment)

    def box_normalizer(self, assignment: Assignment, weights: Tensor) -> Tensor:
        """Hook: what a stage's box losses are divided by; ``weights`` (P,) are its positives'."""
        return weights.sum()

    def box_weights(self, matches: Matches) -> Tensor:
        """Hook: (P,) weights of a stage's box losses."""
        return torch.ones_like(matches.ious)

    def quality_targets(self, matches: Matches) -> Tensor:
        """Hook: (P,) what the quality branch of a head should predict. Default: centerness."""
        return centerness(matches.anchor_boxes, matches.gt_boxes)

    def iou_target(self, matches: Matches, gt_instances: list[Instances]) -> Tensor:
        """Hook: (P,) IoU-aware classification scores (IACS). Default: the IoU, never 0."""
        return matches.ious.clamp(min=MIN_IOU)
