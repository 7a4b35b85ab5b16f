"""What detectors have in common whose final boxes are matched by their highest IoU."""

from detectron2.structures import Instances
from torch import Tensor

from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import Assignment, Matches
from vfnet_d2.modeling.dense.targets import count_at_least_one_an_image


class IoUMatchedDetector(OneStageDetector):
    """Template of detectors with ambiguous anchors: those between the two IoU thresholds."""

    def classified(self, assignment: Assignment) -> Tensor:
        """Skip ambiguous anchors and the batch's padding, whatever the loss."""
        return assignment.labels >= 0

    def cls_normalizer(self, assignment: Assignment) -> Tensor:
        """Positives, at least one an image."""
        return count_at_least_one_an_image(assignment)

    def box_normalizer(self, assignment: Assignment, weights: Tensor) -> Tensor:
        """Positives of the stage, at least one an image."""
        return count_at_least_one_an_image(assignment)

    def iou_target(self, matches: Matches, gt_instances: list[Instances]) -> Tensor:
        """IoU of the last box; one that misses its object altogether trains as background."""
        return matches.ious
