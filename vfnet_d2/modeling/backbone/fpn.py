"""P3-P7 feature pyramids over a ResNet, as dense detectors use them."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelP6P7
from torch import nn

from vfnet_d2.modeling.backbone.resnet import build_resnet


def build_fpn(
    *,
    bottom_up: Backbone,
    in_features: Sequence[str] = ("res3", "res4", "res5"),
    channels: int = 256,
    norm: str = "",
) -> FPN:
    """Build FPN levels P3-P5 and, by stride-2 convolutions on P5, P6 and P7.

    Weights start Xavier-uniform; Detectron2's own start counts only a convolution's inputs.

    Args:
        bottom_up: backbone whose last feature is "res5".
        in_features: its outputs to use.
        channels: channels of every level.
        norm: norm after each convolution; "" has biases instead.
    """
    top = LastLevelP6P7(channels, channels, in_feature="p5")
    fpn = FPN(
        bottom_up=bottom_up,
        in_features=list(in_features),
        out_channels=channels,
        norm=norm,
        top_block=top,
    )
    convs = [*fpn.lateral_convs, *fpn.output_convs, top.p6, top.p7]
    for conv in convs:
        nn.init.xavier_uniform_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return fpn


@BACKBONE_REGISTRY.register()
def build_p3p7_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build :func:`build_fpn` over :func:`build_resnet` from Detectron2's RESNETS and FPN nodes."""
    del input_shape
    node = cfg.MODEL.RESNETS
    bottom_up = build_resnet(
        depth=node.DEPTH,
        stem_channels=node.STEM_OUT_CHANNELS,
        res2_channels=node.RES2_OUT_CHANNELS,
        norm=node.NORM,
        num_groups=node.NUM_GROUPS,
        width_per_group=node.WIDTH_PER_GROUP,
        stride_in_1x1=node.STRIDE_IN_1X1,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        out_features=node.OUT_FEATURES,
    )
    return build_fpn(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
    )
