"""Res2Net v1d (Gao et al., TPAMI 2021): bottlenecks whose 3x3 convolutions form a hierarchy."""

from collections.abc import Sequence

import fvcore.nn.weight_init as weight_init
import torch
from detectron2.layers import CNNBlockBase, Conv2d, get_norm
from detectron2.modeling.backbone.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.layers.folded_conv import FoldedConv2d
from vfnet_d2.modeling.backbone.resnet import (
    BLOCKS_PER_STAGE,
    RIGID,
    Norm,
    PerStage,
    check_deformable,
    norm_layer,
)


def _conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: Norm,
    *,
    stride: int = 1,
    kind: type[Conv2d] = FoldedConv2d,
) -> Conv2d:
    """Return a convolution with norm and no activation that keeps the size but for its stride."""
    conv = kind(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        bias=False,
        norm=get_norm(norm, out_channels),
    )
    weight_init.c2_msra_fill(conv)
    return conv


class DeepStem(CNNBlockBase):
    """Three 3x3 convolutions and a max-pooling in place of the 7x7 stem; stride 4.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the result; the first two convolutions have half of them.
        norm: norm after each convolution.
    """

    def __init__(self, *, in_channels: int = 3, out_channels: int = 64, norm: Norm) -> None:
        super().__init__(in_channels, out_channels, stride=4)
        half = out_channels // 2
        self.conv1 = _conv_norm(in_channels, half, 3, norm, stride=2)
        self.conv2 = _conv_norm(half, half, 3, norm)
        self.conv3 = _conv_norm(half, out_channels, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map an image (N, C, H, W) to (N, ``out_channels``, H / 4, W / 4)."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.relu_(conv(x))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class Res2NetBlock(CNNBlockBase):
    """Residual block that splits its channels; all splits but the last have a 3x3 convolution.

    Args:
        in_channels: channels of the input (N, C, H, W).
        out_channels: channels of the output.
        split_channels: channels of each split.
        num_splits: number of splits.
        stride: of the 3x3 convolutions; the last split and the shortcut are average-pooled by it.
        hierarchical: add each convolution's output to the next one's input. A stage's first block
            does not.
        norm: norm after each convolution.
        conv: kind of the 3x3 convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        split_channels: int,
        num_splits: int,
        stride: int,
        hierarchical: bool,
        norm: Norm,
        conv: type[Conv2d],
    ) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.split_channels = split_channels
        self.hierarchical = hierarchical
        self.conv1 = _conv_norm(in_channels, split_channels * num_splits, 1, norm)
        self.convs = nn.ModuleList(
            _conv_norm(split_channels, split_channels, 3, norm, stride=stride, kind=conv)
            for _ in range(num_splits - 1)
        )
        self.conv3 = _conv_norm(split_channels * num_splits, out_channels, 1, norm)
        self.shortcut = (
            _conv_norm(in_channels, out_channels, 1, norm) if in_channels != out_channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, ``out_channels``, H / stride, W / stride), rounded up."""
        splits = F.relu_(self.conv1(x)).split(self.split_channels, dim=1)
        outputs: list[Tensor] = []
        for conv, split in zip(self.convs, splits[:-1], strict=True):
            carried = self.hierarchical and outputs
            outputs.append(F.relu_(conv(split + outputs[-1] if carried else split)))
        out = self.conv3(torch.cat([*outputs, self._pool_split(splits[-1])], dim=1))
        return F.relu_(out + self._shortcut(x))

    def _pool_split(self, split: Tensor) -> Tensor:
        """Bring the split without a convolution to the size of the others."""
        if self.stride == 1:
            return split
        return F.avg_pool2d(split, kernel_size=3, stride=self.stride, padding=1)

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True, count_include_pad=False)
        return x if self.shortcut is None else self.shortcut(x)


def build_res2net(
    *,
    depth: int = 101,
    stem_channels: int = 64,
    res2_channels: int = 256,
    norm: Norm = "FixedStatsBN",
    width_per_split: int = 26,
    num_splits: int = 4,
    deform_on_per_stage: PerStage = RIGID,
    freeze_at: int = 2,
    out_features: Sequence[str] = ("res3", "res4", "res5"),
) -> ResNet:
    """Build a Res2Net v1d, by default Res2Net-101 26w x 4s.

    Args:
        depth: 50, 101 or 152.
        stem_channels: channels after the stem.
        res2_channels: output channels of the first stage; they double from stage to stage.
        norm: see :func:`~vfnet_d2.modeling.backbone.resnet.build_resnet`.
        width_per_split: channels of a split in the first stage.
        num_splits: splits of a block.
        deform_on_per_stage: for each of the stages "res2" to "res5", whether all its 3x3
            convolutions are modulated deformable (DCNv2).
        freeze_at: stages frozen from the input on; 1 is the stem, 2 stem and first stage.
        out_features: outputs, "stem" and "res2" to "res5".

    Raises:
        ValueError: unknown depth, or too few or many values in ``deform_on_per_stage``.
    """
    depths = sorted(known for known in BLOCKS_PER_STAGE if known >= 50)
    if depth not in depths:
        raise ValueError(f"Res2Net depth is {depth}; choose one of {depths}")
    check_deformable(deform_on_per_stage)
    norm = norm_layer(norm)
    stages = []
    inputs = stem_channels
    for index, num_blocks in enumerate(BLOCKS_PER_STAGE[depth]):
        outputs = res2_channels * 2**index
        stage = ResNet.make_stage(
            Res2NetBlock,
            num_blocks,
            in_channels=inputs,
            out_channels=outputs,
            split_channels=width_per_split * 2**index,
            num_splits=num_splits,
            stride_per_block=[1 if index == 0 else 2] + [1] * (num_blocks - 1),
            hierarchical_per_block=[False] + [True] * (num_blocks - 1),
            norm=norm,
            conv=ModulatedDeformConv2d if deform_on_per_stage[index] else FoldedConv2d,
        )
        stages.append(stage)
        inputs = outputs
    stem = DeepStem(out_channels=stem_channels, norm=norm)
    return ResNet(stem, stages, out_features=list(out_features), freeze_at=freeze_at)
