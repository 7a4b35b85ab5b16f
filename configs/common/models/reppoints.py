"""RepPoints as a LazyConfig. What is not said here is the default of the class it belongs to."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from omegaconf import DictConfig

from vfnet_d2.losses.box import SmoothL1Loss
from vfnet_d2.losses.focal import FocalLoss
from vfnet_d2.modeling.backbone.fpn import build_fpn
from vfnet_d2.modeling.backbone.resnet import build_resnet
from vfnet_d2.modeling.dense.box_coders import CornerOffsets
from vfnet_d2.modeling.dense.detectors.reppoints import RepPoints
from vfnet_d2.modeling.dense.heads.reppoints_head import RepPointsHead
from vfnet_d2.modeling.dense.matchers.max_iou import MaxIoUMatcher
from vfnet_d2.modeling.dense.matchers.point import PointMatcher


def reppoints() -> DictConfig:
    """RepPoints R-50 with GN in neck and head."""
    return L(RepPoints)(
        backbone=L(build_fpn)(
            bottom_up=L(build_resnet)(depth=50), norm="GN", top_input="res5", top_relu=False
        ),
        head=L(RepPointsHead)(in_channels=256, num_classes="${..num_classes}", num_levels=5),
        head_in_features=["p3", "p4", "p5", "p6", "p7"],
        anchor_generator=L(DefaultAnchorGenerator)(
            sizes=[[32], [64], [128], [256], [512]],
            aspect_ratios=[[1.0]],
            strides=[8, 16, 32, 64, 128],
            offset=0.0,
        ),
        box_coder=L(CornerOffsets)(),
        initial_matcher=L(PointMatcher)(),
        matcher=L(MaxIoUMatcher)(),
        cls_loss=L(FocalLoss)(),
        box_loss=L(SmoothL1Loss)(beta=0.11),
        num_classes=80,
        box_loss_weights=[0.5, 1.0],
        nms_thresh=0.5,
    )
