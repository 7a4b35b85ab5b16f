"""What the detectors with a plain head of towers share as LazyConfigs."""

from collections.abc import Sequence
from typing import Any

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.losses.focal import FocalLoss
from vfnet_d2.modeling.backbone.resnet import build_resnet
from vfnet_d2.modeling.dense.heads.tower_head import TowerHead

from .pyramid import over_pyramid


def tower_detector(
    detector: type,
    *,
    sizes: Sequence[Sequence[float]],
    aspect_ratios: Sequence[float] = (1.0,),
    offset: float = 0.0,
    **parts: DictConfig,
) -> DictConfig:
    """A detector over ResNet-50 and FPN levels P3-P7, with focal loss.

    Args:
        detector: the meta-architecture.
        sizes: of the anchors of each level, in pixels.
        aspect_ratios: of the anchors of all levels.
        offset: of the anchors' centres, in strides.
        parts: further parts of the detector.
    """
    settings: dict[str, Any] = {"cls_loss": L(FocalLoss)(), **parts}
    return over_pyramid(
        detector,
        bottom_up=L(build_resnet)(depth=50),
        head=TowerHead,
        sizes=sizes,
        aspect_ratios=aspect_ratios,
        offset=offset,
        head_arguments={"num_anchors": len(sizes[0]) * len(aspect_ratios)},
        **settings,
    )


def plain(model: DictConfig) -> DictConfig:
    """The same with what RetinaNet and FoveaBox have: neither norm, scales nor centerness."""
    model.head.norm = ""
    model.head.level_scales = model.head.centerness = False
    model.backbone.top_input = "res5"
    model.backbone.top_relu = False
    model.box_loss_weights = [1.0]
    model.nms_thresh = 0.5
    return model
