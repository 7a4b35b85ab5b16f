"""P3-P7 feature pyramids over a ResNet, as dense detectors use them."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelP6P7
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.folded_conv import FoldedConv2d, folded_like
from vfnet_d2.modeling.backbone.res2net import build_res2net
from vfnet_d2.modeling.backbone.resnet import deformable_stages, resnet_from_config
from vfnet_d2.utils.registry import lookup_name


class TopLevels(LastLevelP6P7):
    """P6 and P7, with the choices that Detectron2's class does not offer.

    Args:
        in_channels: channels of ``in_feature``.
        out_channels: channels of both levels.
        in_feature: what P6 is made from: "p5", or the backbone's "res5".
        relu: apply a ReLU before the second convolution.
        norm: norm after each convolution; "" has biases instead.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, in_feature: str, relu: bool, norm: str
    ) -> None:
        super().__init__(in_channels, out_channels, in_feature=in_feature)
        self.relu = relu
        if norm:
            self.p6, self.p7 = (
                FoldedConv2d(
                    channels,
                    out_channels,
                    kernel_size=3,
                    stride=2,
                    padding=1,
                    bias=False,
                    norm=get_norm(norm, out_channels),
                )
                for channels in (in_channels, out_channels)
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (N, C, H, W) to maps of half and of a quarter of its size."""
        p6 = self.p6(x)
        return [p6, self.p7(F.relu(p6) if self.relu else p6)]


def build_fpn(
    *,
    bottom_up: Backbone,
    in_features: Sequence[str] = ("res3", "res4", "res5"),
    channels: int = 256,
    norm: str = "",
    top_input: str = "p5",
    top_relu: bool = True,
) -> FPN:
    """Build FPN levels P3-P5 and, by stride-2 convolutions, P6 and P7.

    Weights start Xavier-uniform; Detectron2's own start counts only a convolution's inputs.

    Args:
        bottom_up: backbone whose last feature is "res5".
        in_features: its outputs to use.
        channels: channels of every level.
        norm: norm after each convolution; "" has biases instead.
        top_input: what P6 is made from, "p5" or "res5".
        top_relu: apply a ReLU between P6 and P7's convolution.

    Raises:
        ValueError: unknown ``top_input``.
    """
    inputs = {"p5": channels, "res5": bottom_up.output_shape()["res5"].channels}
    top = TopLevels(
        lookup_name(inputs, top_input, key="MODEL.FPN.TOP_INPUT"),
        channels,
        in_feature=top_input,
        relu=top_relu,
        norm=norm,
    )
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
    if norm:
        _fold_norms(fpn)
    return fpn


def _fold_norms(fpn: FPN) -> None:
    """Replace the pyramid's convolutions, also in the lists that it goes through."""
    names = {module: name for name, module in fpn.named_children()}
    for convs in (fpn.lateral_convs, fpn.output_convs):
        for index, conv in enumerate(convs):
            convs[index] = folded_like(conv)
            setattr(fpn, names[conv], convs[index])


@BACKBONE_REGISTRY.register()
def build_p3p7_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build :func:`build_fpn` over :func:`build_resnet` from Detectron2's RESNETS and FPN nodes."""
    del input_shape
    return _fpn_from_config(cfg, resnet_from_config(cfg))


@BACKBONE_REGISTRY.register()
def build_p3p7_res2net_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build :func:`build_fpn` over :func:`build_res2net` from Detectron2's RESNETS and FPN nodes.

    RESNETS.WIDTH_PER_GROUP is the width of a split; NUM_GROUPS and STRIDE_IN_1X1 have no meaning.

    Raises:
        ValueError: NUM_GROUPS or STRIDE_IN_1X1 are set.
    """
    del input_shape
    node = cfg.MODEL.RESNETS
    if node.NUM_GROUPS != 1 or node.STRIDE_IN_1X1:
        raise ValueError(
            "a Res2Net has no groups and its strides lie in the 3x3 convolutions: set "
            "MODEL.RESNETS.NUM_GROUPS to 1 and MODEL.RESNETS.STRIDE_IN_1X1 to False, not "
            f"{node.NUM_GROUPS} and {node.STRIDE_IN_1X1}"
        )
    bottom_up = build_res2net(
        depth=node.DEPTH,
        stem_channels=node.STEM_OUT_CHANNELS,
        res2_channels=node.RES2_OUT_CHANNELS,
        norm=node.NORM,
        width_per_split=node.WIDTH_PER_GROUP,
        deform_on_per_stage=deformable_stages(node),
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        out_features=node.OUT_FEATURES,
    )
    return _fpn_from_config(cfg, bottom_up)


def _fpn_from_config(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    node = cfg.MODEL.FPN
    return build_fpn(
        bottom_up=bottom_up,
        in_features=node.IN_FEATURES,
        channels=node.OUT_CHANNELS,
        norm=node.NORM,
        top_input=node.TOP_INPUT,
        top_relu=node.TOP_RELU,
    )
