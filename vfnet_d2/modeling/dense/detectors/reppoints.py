"""RepPoints (Yang et al., ICCV 2019)."""

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances

from vfnet_d2.modeling.dense.detectors.iou_matched import IoUMatchedDetector
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY, Matcher
from vfnet_d2.modeling.dense.structures import Assignment, BoxStage
from vfnet_d2.utils.registry import build_part


@META_ARCH_REGISTRY.register()
class RepPoints(IoUMatchedDetector):
    """Dense detector whose boxes are point sets, found at the centres and then refined.

    ``matcher`` serves refinement and classification, and is given the initial boxes as its
    predictions.

    Args:
        initial_matcher: which cell finds which box, for the initial points.
        parts: of :class:`~vfnet_d2.modeling.dense.one_stage.OneStageDetector`.
    """

    @configurable
    def __init__(self, *, initial_matcher: Matcher, **parts: Any) -> None:
        super().__init__(**parts)
        self.initial_matcher = initial_matcher

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Map the config to the constructor's arguments."""
        key = "INITIAL_MATCHER"
        matcher = build_part(
            MATCHER_REGISTRY, cfg.MODEL.ONE_STAGE[key], key=f"MODEL.ONE_STAGE.{key}"
        )
        return {**super().from_config(cfg), "initial_matcher": matcher}

    def assign(
        self, anchors: list[Boxes], gt_instances: list[Instances], stages: Sequence[BoxStage]
    ) -> list[Assignment]:
        """Match the initial points by position, the refined ones by where those ended up."""
        flat = Boxes.cat(anchors).tensor
        first = stages[0].flat().detach()
        initial = [Boxes(self.box_coder.apply_deltas(image, flat)) for image in first]
        return [
            self.initial_matcher(anchors, gt_instances),
            self.matcher(anchors, gt_instances, initial),
        ]
