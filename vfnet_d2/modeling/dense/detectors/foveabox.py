"""FoveaBox (Kong et al., TIP 2020)."""

from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from torch import Tensor

from vfnet_d2.losses.box import paired_iou
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import Assignment, Matches
from vfnet_d2.modeling.dense.targets import MIN_IOU, count_positives


@META_ARCH_REGISTRY.register()
class FoveaBox(OneStageDetector):
    """Dense detector without anchors, whose cells answer for boxes of a range of sizes."""

    def cls_normalizer(self, assignment: Assignment) -> Tensor:
        """Positives, and one an image."""
        return count_positives(assignment) + len(assignment.labels)

    def iou_target(self, matches: Matches, gt_instances: list[Instances]) -> Tensor:
        """IoU of the box as it would be detected: clipped to its own image."""
        sizes = [[width, height] * 2 for height, width in (x.image_size for x in gt_instances)]
        limits = matches.boxes.new_tensor(sizes)[matches.image]
        clipped = matches.boxes.clamp(min=0).minimum(limits)
        return paired_iou(clipped, matches.gt_boxes).clamp(min=MIN_IOU)
