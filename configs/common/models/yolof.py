"""YOLOF as a LazyConfig. What is not said here is the default of the class it belongs to."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from omegaconf import DictConfig

from vfnet_d2.losses.box import GIoULoss
from vfnet_d2.losses.focal import FocalLoss
from vfnet_d2.modeling.backbone.dilated_encoder import DilatedEncoder
from vfnet_d2.modeling.backbone.resnet import build_resnet
from vfnet_d2.modeling.dense.box_coders import ClampedShiftDeltas
from vfnet_d2.modeling.dense.detectors.yolof import YOLOF
from vfnet_d2.modeling.dense.heads.yolof_head import YOLOFHead
from vfnet_d2.modeling.dense.matchers.uniform import UniformMatcher

# Sides of the square anchors of a cell, in pixels.
SIZES = (32, 64, 128, 256, 512)


def yolof_dc5(*, depth: int = 50) -> DictConfig:
    """YOLOF on DC5: half the stride, so twice the dilations, and smaller anchors."""
    model = yolof(depth=depth, res5_dilation=2, sizes=(16, *SIZES))
    model.backbone.dilations = [4, 8, 12, 16]
    model.matcher.match_times, model.matcher.positive_iou = 8, 0.1
    return model


def yolof(*, depth: int = 50, res5_dilation: int = 1, sizes: tuple[int, ...] = SIZES) -> DictConfig:
    """YOLOF over a Caffe-style ResNet."""
    return L(YOLOF)(
        backbone=L(DilatedEncoder)(
            bottom_up=L(build_resnet)(
                depth=depth,
                norm="FrozenBN",
                stride_in_1x1=True,
                res5_dilation=res5_dilation,
                out_features=["res5"],
            ),
            channels=512,
        ),
        head=L(YOLOFHead)(
            in_channels="${..backbone.channels}",
            num_classes="${..num_classes}",
            num_anchors=len(sizes),
        ),
        head_in_features=["p5"],
        anchor_generator=L(DefaultAnchorGenerator)(
            sizes=[list(sizes)],
            aspect_ratios=[[1.0]],
            strides=[32 // res5_dilation],
            offset=0.0,
        ),
        box_coder=L(ClampedShiftDeltas)(),
        matcher=L(UniformMatcher)(),
        cls_loss=L(FocalLoss)(),
        box_loss=L(GIoULoss)(),
        num_classes=80,
        box_loss_weights=[1.0],
        pixel_mean=[103.53, 116.28, 123.675],
        pixel_std=[1.0, 1.0, 1.0],
        input_format="BGR",
    )
