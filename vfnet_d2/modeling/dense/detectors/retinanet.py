"""RetinaNet (Lin et al., ICCV 2017) on the template; Detectron2 has one of its own."""

from detectron2.modeling import META_ARCH_REGISTRY

from vfnet_d2.modeling.dense.detectors.anchor_based import AnchorBasedDetector


@META_ARCH_REGISTRY.register()
class OneStageRetinaNet(AnchorBasedDetector):
    """Dense detector with several anchors a cell, over a feature pyramid."""
