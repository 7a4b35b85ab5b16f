"""ATSS (Zhang et al., CVPR 2020) and its anchor-free sibling, FCOS with ATSS matching."""

from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import Assignment, Matches
from vfnet_d2.modeling.dense.targets import count_at_least_one_an_image


@META_ARCH_REGISTRY.register()
class FCOSATSS(OneStageDetector):
    """Detector that ranks by class score times centerness: Tables 1 and 3, "FCOS+ATSS"."""

    def box_weights(self, matches: Matches) -> Tensor:
        """Weight each positive by its true centerness."""
        return self.quality_targets(matches)


@META_ARCH_REGISTRY.register()
class ATSS(FCOSATSS):
    """The same with the normaliser that ATSS' published weights were trained with."""

    def cls_normalizer(self, assignment: Assignment) -> Tensor:
        """Positives, at least one an image."""
        return count_at_least_one_an_image(assignment)
