"""ResNets made of Detectron2's blocks, with norms that Detectron2's builder cannot name."""

from collections.abc import Callable, Sequence
from typing import Any

from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, BottleneckBlock, ResNet
from torch import nn

from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d

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


def build_resnet(
    *,
    depth: int = 50,
    stem_channels: int = 64,
    res2_channels: int = 256,
    norm: Norm = "FixedStatsBN",
    num_groups: int = 1,
    width_per_group: int = 64,
    stride_in_1x1: bool = False,
    freeze_at: int = 2,
    out_features: Sequence[str] = ("res3", "res4", "res5"),
) -> ResNet:
    """Build a ResNet or ResNeXt whose stages double their channels.

    Args:
        depth: 18 or 34 (basic blocks), 50, 101 or 152 (bottlenecks).
        stem_channels: channels after the 7x7 stem.
        res2_channels: output channels of the first stage.
        norm: "FixedStatsBN" (stored statistics, trained affine), a name of Detectron2's
            ``get_norm``, or a callable from channels to a layer.
        num_groups: groups of the bottlenecks' 3x3 convolutions (ResNeXt).
        width_per_group: their channels a group in the first stage.
        stride_in_1x1: put a stage's stride in the 1x1 convolution (Caffe) instead of the 3x3.
        freeze_at: stages frozen from the input on; 1 is the stem, 2 stem and first stage.
        out_features: outputs, "stem" and "res2" to "res5".

    Raises:
        ValueError: unknown depth.
    """
    if depth not in BLOCKS_PER_STAGE:
        raise ValueError(f"ResNet depth is {depth}; choose one of {sorted(BLOCKS_PER_STAGE)}")
    norm = OWN_NORMS.get(norm, norm) if isinstance(norm, str) else norm
    stem = BasicStem(in_channels=3, out_channels=stem_channels, norm=norm)
    stages = []
    inputs = stem_channels
    for index, num_blocks in enumerate(BLOCKS_PER_STAGE[depth]):
        block: dict[str, Any] = {"block_class": BasicBlock}
        if depth >= 50:
            block = {
                "block_class": BottleneckBlock,
                "bottleneck_channels": num_groups * width_per_group * 2**index,
                "num_groups": num_groups,
                "stride_in_1x1": stride_in_1x1,
            }
        outputs = res2_channels * 2**index
        strides = [1 if index == 0 else 2] + [1] * (num_blocks - 1)
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
    return ResNet(stem, stages, out_features=list(out_features), freeze_at=freeze_at)
