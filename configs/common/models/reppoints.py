"""RepPoints as a LazyConfig. What is not said here is the default of the class it belongs to."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.losses.box import SmoothL1Loss
from vfnet_d2.losses.focal import FocalLoss
from vfnet_d2.modeling.backbone.resnet import build_resnet
from vfnet_d2.modeling.dense.box_coders import CornerOffsets
from vfnet_d2.modeling.dense.detectors.reppoints import RepPoints
from vfnet_d2.modeling.dense.heads.reppoints_head import RepPointsHead
from vfnet_d2.modeling.dense.matchers.max_iou import MaxIoUMatcher
from vfnet_d2.modeling.dense.matchers.point import PointMatcher

from .pyramid import STRIDES, over_pyramid


def reppoints() -> DictConfig:
    """RepPoints R-50 with GN in neck and head."""
    model = over_pyramid(
        RepPoints,
        bottom_up=L(build_resnet)(depth=50),
        head=RepPointsHead,
        sizes=[[4 * stride] for stride in STRIDES],
        box_coder=L(CornerOffsets)(),
        initial_matcher=L(PointMatcher)(),
        matcher=L(MaxIoUMatcher)(),
        cls_loss=L(FocalLoss)(),
        box_loss=L(SmoothL1Loss)(beta=0.11),
        box_loss_weights=[0.5, 1.0],
        nms_thresh=0.5,
    )
    model.backbone.norm = "GN"
    model.backbone.top_input = "res5"
    model.backbone.top_relu = False
    return model
