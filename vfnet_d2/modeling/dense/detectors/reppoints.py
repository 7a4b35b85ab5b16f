"""RepPoints (Yang et al., ICCV 2019)."""

from collections.abc import Sequence
from typing import Any, ClassVar

from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances

from vfnet_d2.modeling.dense.detectors.iou_matched import IoUMatchedDetector
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY, Matcher
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.parts import PartKind, Parts
from vfnet_d2.modeling.dense.structures import Assignment, BoxStage


@META_ARCH_REGISTRY.register()
class RepPoints(IoUMatchedDetector):
    """Dense detector whose boxes are point sets, found at the centres and then refined.

    ``matcher`` serves refinement and classification, and is given the initial boxes as its
    predictions.

    Args:
        initial_matcher: which cell finds which box, for the initial points.
        parts: of :class:`~vfnet_d2.modeling.dense.one_stage.OneStageDetector`.
    """

    PARTS: ClassVar[Parts] = {
        **OneStageDetector.PARTS,
        "initial_matcher": PartKind(MATCHER_REGISTRY, "PointMatcher"),
    }

    @configurable
    def __init__(self, *, initial_matcher: Matcher, **parts: Any) -> None:
        super().__init__(**parts)
        self.initial_matcher = initial_matcher

    def assign(
        self, anchors: list[Boxes], gt_instances: list[Instances], stages: Sequence[BoxStage]
    ) -> list[Assignment]:
        """Match the initial points by position, the refined ones by where those ended up."""
        flat = Boxes.cat(anchors).tensor
        first = stages[0].flat().detach()
        initial = [Boxes(self.box_coder.apply_deltas(image, flat)) for image in first]
        sizes = self.padded_sizes(gt_instances)
        return [
            self.initial_matcher(anchors, gt_instances, padded_sizes=sizes),
            self.matcher(anchors, gt_instances, initial, padded_sizes=sizes),
        ]
