"""YOLOF, You Only Look One-level Feature (Chen et al., CVPR 2021)."""

from collections.abc import Sequence

from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.modeling.dense.detectors.anchor_based import AnchorBasedDetector
from vfnet_d2.modeling.dense.structures import Assignment, BoxStage, last_pairs


@META_ARCH_REGISTRY.register()
class YOLOF(AnchorBasedDetector):
    """Dense detector on one feature map, which matches by predictions as well as by anchors.

    An anchor may answer for several objects, and for one twice: each such pair counts in the loss
    of the boxes. For the loss of the classes an anchor has one label and one object, those of its
    last pair (:class:`~vfnet_d2.modeling.dense.matchers.uniform.UniformMatcher`); a loss that is
    aware of the IoU takes it between the anchor's box and that object.
    """

    def assign(
        self, anchors: list[Boxes], gt_instances: list[Instances], stages: Sequence[BoxStage]
    ) -> list[Assignment]:
        """Show the matcher the predicted boxes."""
        (stage,) = stages
        flat = Boxes.cat(anchors).tensor
        deltas = stage.flat().detach()
        predicted = [Boxes(self.box_coder.apply_deltas(image, flat)) for image in deltas]
        sizes = self.padded_sizes(gt_instances)
        return [self.matcher(anchors, gt_instances, predicted, padded_sizes=sizes)]

    def classifying(self, assignment: Assignment) -> Tensor:
        """The last pair of each positive anchor."""
        return last_pairs(assignment)
