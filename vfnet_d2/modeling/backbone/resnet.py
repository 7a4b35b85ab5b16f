"""ResNets made of Detectron2's blocks, with norms that Detectron2's builder cannot name."""

from collections.abc import Callable, Sequence
from typing import Any

import fvcore.nn.weight_init as weight_init
from detectron2.config import CfgNode
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, BottleneckBlock, ResNet
from torch import nn

from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.layers.folded_conv import fold_norms

Norm = str | Callable[[int], nn.Module]

# Norms beside those of Detectron2's ``get_norm``, by the name a YAML config gives them.
OWN_NORMS: dict[str, Callable[[int], nn.Module]] = {"FixedStatsBN": FixedStatsBatchNorm2d}

BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}

# Which of the stages res2 to res5 are deformable
PerStage = Sequence[bool]
RIGID: PerStage = (False, False, False, False)
LAST_STAGE = len(RIGID) - 1


class DeformableBottleneckBlock(BottleneckBlock):
    """Detectron2's bottleneck whose 3x3 convolution is modulated deformable.

    Args:
        args: see ``BottleneckBlock``.
        kwargs: likewise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conv2 = deformable_like(self.get_submodule("conv2"))


def deformable_like(conv: Any) -> ModulatedDeformConv2d:
    """Return a modulated deformable convolution with the settings and the norm of ``conv``.

    Args:
        conv: a Detectron2 ``Conv2d``.
    """
    made = ModulatedDeformConv2d(
        conv.in_channels,
        conv.out_channels,
        kernel_size=conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=conv.bias is not None,
        norm=conv.norm,
        activation=conv.activation,
    )
    weight_init.c2_msra_fill(made)
    return made


def norm_layer(norm: Norm) -> Norm:
    """Return what Detectron2's ``get_norm`` understands for a norm of :func:`build_resnet`."""
    return OWN_NORMS.get(norm, norm) if isinstance(norm, str) else norm


def check_deformable(deform_on_per_stage: PerStage) -> None:
    """Raise ValueError unless there is one choice for each of "res2" to "res5"."""
    if len(deform_on_per_stage) != len(RIGID):
        raise ValueError(
            f"deform_on_per_stage (MODEL.RESNETS.DEFORM_ON_PER_STAGE) is "
            f"{list(deform_on_per_stage)}; give one value for each of res2, res3, res4, res5"
        )


def _check_dilation(depth: int, res5_dilation: int) -> None:
    if res5_dilation not in (1, 2):
        raise ValueError(
            f"res5_dilation (MODEL.RESNETS.RES5_DILATION) is {res5_dilation}; choose 1 or 2"
        )
    if depth < 50 and res5_dilation != 1:
        raise ValueError(
            f"res5_dilation (MODEL.RESNETS.RES5_DILATION) is for bottlenecks: depth is {depth}, "
            "choose 50, 101 or 152, or a dilation of 1"
        )


def build_resnet(
    *,
    depth: int = 50,
    stem_channels: int = 64,
    res2_channels: int = 256,
    norm: Norm = "FixedStatsBN",
    num_groups: int = 1,
    width_per_group: int = 64,
    stride_in_1x1: bool = False,
    deform_on_per_stage: PerStage = RIGID,
    res5_dilation: int = 1,
    freeze_at: int = 2,
    out_features: Sequence[str] = ("res3", "res4", "res5"),
) -> ResNet:
    """Build a ResNet or ResNeXt whose stages double their channels; fixed norms are folded.

    Args:
        depth: 18 or 34 (basic blocks), 50, 101 or 152 (bottlenecks).
        stem_channels: channels after the 7x7 stem.
        res2_channels: output channels of the first stage.
        norm: "FixedStatsBN" (stored statistics, trained affine), a name of Detectron2's
            ``get_norm``, or a callable from channels to a layer.
        num_groups: groups of the bottlenecks' 3x3 convolutions (ResNeXt).
        width_per_group: their channels a group in the first stage.
        stride_in_1x1: put a stage's stride in the 1x1 convolution (Caffe) instead of the 3x3.
        deform_on_per_stage: for each of the stages "res2" to "res5", whether the 3x3 convolutions
            of its bottlenecks are modulated deformable (DCNv2).
        res5_dilation: 2 keeps the size of "res4" in "res5" and dilates its convolutions (DC5).
        freeze_at: stages frozen from the input on; 1 is the stem, 2 stem and first stage.
        out_features: outputs, "stem" and "res2" to "res5".

    Raises:
        ValueError: unknown depth or dilation, or deformable or dilated stages in a network without
            bottlenecks.
    """
    if depth not in BLOCKS_PER_STAGE:
        raise ValueError(f"ResNet depth is {depth}; choose one of {sorted(BLOCKS_PER_STAGE)}")
    check_deformable(deform_on_per_stage)
    if depth < 50 and any(deform_on_per_stage):
        raise ValueError(
            f"deform_on_per_stage (MODEL.RESNETS.DEFORM_ON_PER_STAGE) is for bottlenecks: depth is "
            f"{depth}, choose 50, 101 or 152, or no deformable stage"
        )
    _check_dilation(depth, res5_dilation)
    norm = norm_layer(norm)
    stem = BasicStem(in_channels=3, out_channels=stem_channels, norm=norm)
    stages = []
    inputs = stem_channels
    for index, num_blocks in enumerate(BLOCKS_PER_STAGE[depth]):
        block: dict[str, Any] = {"block_class": BasicBlock}
        if depth >= 50:
            block = {
                "block_class": DeformableBottleneckBlock
                if deform_on_per_stage[index]
                else BottleneckBlock,
                "bottleneck_channels": num_groups * width_per_group * 2**index,
                "num_groups": num_groups,
                "stride_in_1x1": stride_in_1x1,
                "dilation": res5_dilation if index == LAST_STAGE else 1,
            }
        outputs = res2_channels * 2**index
        same_size = index == 0 or (index == LAST_STAGE and res5_dilation == 2)
        strides = [1 if same_size else 2] + [1] * (num_blocks - 1)
        stage = ResNet.make_stage(
            num_blocks=num_blocks,
            stride_per_block=strides,
            in_channels=inputs,
            out_channels=outputs,
            norm=norm,
            **block,
        )
        stages.append(stage)
        inputs = outputs
    resnet = ResNet(stem, stages, out_features=list(out_features), freeze_at=freeze_at)
    fold_norms(resnet)
    return resnet


def resnet_from_config(cfg: CfgNode) -> ResNet:
    """Build :func:`build_resnet` from Detectron2's RESNETS node and BACKBONE.FREEZE_AT."""
    node = cfg.MODEL.RESNETS
    return build_resnet(
        depth=node.DEPTH,
        stem_channels=node.STEM_OUT_CHANNELS,
        res2_channels=node.RES2_OUT_CHANNELS,
        norm=node.NORM,
        num_groups=node.NUM_GROUPS,
        width_per_group=node.WIDTH_PER_GROUP,
        stride_in_1x1=node.STRIDE_IN_1X1,
        deform_on_per_stage=deformable_stages(node),
        res5_dilation=node.RES5_DILATION,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        out_features=node.OUT_FEATURES,
    )


def deformable_stages(node: CfgNode) -> list[bool]:
    """Return the deformable stages that RESNETS asks for.

    Raises:
        ValueError: they are of another kind than the only one there is.
    """
    if any(node.DEFORM_ON_PER_STAGE):
        if not node.DEFORM_MODULATED:
            raise ValueError(
                "MODEL.RESNETS.DEFORM_MODULATED is False, but deformable convolutions here are "
                "modulated (DCNv2); set it to True, or DEFORM_ON_PER_STAGE to no stage"
            )
        if node.DEFORM_NUM_GROUPS != 1:
            raise ValueError(
                f"MODEL.RESNETS.DEFORM_NUM_GROUPS is {node.DEFORM_NUM_GROUPS}, but all channels of "
                "a deformable convolution share their offsets here; set it to 1"
            )
    return node.DEFORM_ON_PER_STAGE
