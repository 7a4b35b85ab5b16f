"""Backbones as their files show them, and their names in torchvision's and mmdet's style.

torchvision and mmdet name ResNet and ResNeXt alike; Res2Net is named as mmdet does.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vfnet_d2.checkpoint.convert.pairs import Pair, batch_norm, conv
from vfnet_d2.checkpoint.errors import CheckpointError

Shapes = Mapping[str, Sequence[int]]

# Blocks of the four stages, and whether they are bottlenecks.
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
# The Res2Net of the results table: width of a split in the first stage, and splits.
PUBLISHED_RES2NET = (26, 4)
# Stages with deformable convolutions in the published models (c3 to c5).
DCN_STAGES = (2, 3, 4)
# Two offsets and a mask for each of the 3x3 points.
DCN_V2_CHANNELS = 27


class Backbone(NamedTuple):
    """What the names and shapes of a backbone's tensors tell.

    Attributes:
        blocks: residual blocks of each of the four stages.
        bottleneck: blocks of three convolutions, not two.
        groups: of the 3x3 convolutions (ResNeXt).
        width: channels of a group, or of a split, in the first stage.
        splits: of a Res2Net block; 1 in a ResNet.
        deformable_stages: stages, counted from 1, with deformable 3x3 convolutions.
    """

    blocks: tuple[int, ...]
    bottleneck: bool
    groups: int
    width: int
    splits: int
    deformable_stages: tuple[int, ...]

    @property
    def name(self) -> str:
        """Such as "R_50", "X_101_32x4d" and "R2_101", as config files have it."""
        depth = DEPTHS[self.blocks, self.bottleneck]
        if self.splits > 1:
            published = (self.width, self.splits) == PUBLISHED_RES2NET
            return f"R2_{depth}" + ("" if published else f"_{self.width}w{self.splits}s")
        return f"X_{depth}_{self.groups}x{self.width}d" if self.groups > 1 else f"R_{depth}"

    @property
    def suffix(self) -> str:
        """Of the config's name: "", "_DCN", or what is deformable in a model nobody published."""
        if self.deformable_stages in ((), DCN_STAGES):
            return "_DCN" if self.deformable_stages else ""
        return "_DCN_c" + "c".join(str(stage + 1) for stage in self.deformable_stages)


def read_backbone(shapes: Shapes, *, stage: str, first: int) -> Backbone:
    """Find out the backbone from the shapes of its tensors.

    Args:
        shapes: by name; other names may be among them.
        stage: what comes before a stage's number, such as "backbone.layer".
        first: number of the first stage, 1 with torchvision and mmdet, 2 with us.

    Raises:
        CheckpointError: no ResNet or Res2Net whose depth is known, or DCNv1.
    """
    pattern = re.compile(rf"{re.escape(stage)}(\d)\.(\d+)\.(.+)")
    found = [match.groups() for match in map(pattern.fullmatch, shapes) if match]
    indices: dict[int, set[int]] = {number: set() for number in range(first, first + 4)}
    for number, block, _ in found:
        indices.setdefault(int(number), set()).add(int(block))
    # By the highest index: a block in between that is absent shall be reported as missing.
    blocks = tuple(max(members, default=-1) + 1 for members in indices.values())
    bottleneck = any(leaf == "conv3.weight" for _, _, leaf in found)
    if (blocks, bottleneck) not in DEPTHS:
        raise CheckpointError(
            f"its stages {stage}{first}... have {blocks} residual blocks, which is no ResNet or "
            f"Res2Net of depth {sorted(set(DEPTHS.values()))}"
        )
    deformable = set()
    for number, block, leaf in found:
        if leaf.endswith("conv_offset.weight"):
            _check_dcn(f"{stage}{number}.{block}.{leaf}", shapes)
            deformable.add(int(number) - first + 1)
    groups, width, splits = _widths(shapes, f"{stage}{first}.0", bottleneck=bottleneck)
    return Backbone(blocks, bottleneck, groups, width, splits, tuple(sorted(deformable)))


def rows(shapes: Shapes, name: str) -> int:
    """Return a tensor's first dimension, of a layer its outputs; 0 of a number and of none."""
    return next(iter(shapes.get(name, ())), 0)


def _check_dcn(name: str, shapes: Shapes) -> None:
    found = rows(shapes, name)
    if found != DCN_V2_CHANNELS:
        raise CheckpointError(
            f"{name} has {found} output channels; modulated deformable convolution "
            f"(DCNv2) has {DCN_V2_CHANNELS}. DCNv1 is not supported"
        )


def _widths(shapes: Shapes, block: str, *, bottleneck: bool) -> tuple[int, int, int]:
    """Return groups, width of a group or split, and splits, as the first block has them."""
    splits = sum(
        re.fullmatch(rf"{re.escape(block)}\.convs\.\d+\.weight", n) is not None for n in shapes
    )
    name = f"{block}.convs.0.weight" if splits else f"{block}.conv2.weight"
    if name not in shapes or len(shapes[name]) != 4:
        raise CheckpointError(f"it has no 3x3 convolution {name}")
    outputs, width = shapes[name][:2]
    if splits:
        return 1, width, splits + 1
    return (outputs // max(width, 1) if bottleneck else 1), width, 1


def backbone_pairs(backbone: Backbone) -> list[Pair]:
    """All pairs of a backbone, without a prefix: "layer1.0.bn1.bias", "res2.0.conv1.norm.bias"."""
    pairs = _deep_stem() if backbone.splits > 1 else _stem()
    for stage, blocks in enumerate(backbone.blocks, start=1):
        deformable = stage in backbone.deformable_stages
        for index in range(blocks):
            theirs, ours = f"layer{stage}.{index}", f"res{stage + 1}.{index}"
            if backbone.splits > 1:
                pairs += _split_block(theirs, ours, backbone.splits, deformable=deformable)
            else:
                convs = 3 if backbone.bottleneck else 2
                pairs += _block(theirs, ours, convs, deformable=deformable)
            if index == 0 and (stage > 1 or backbone.bottleneck):
                # Res2Net's shortcut begins with an average pooling, which is their number 0.
                pairs += _shortcut(theirs, ours, first=1 if backbone.splits > 1 else 0)
    return pairs


def _stem() -> list[Pair]:
    return conv("conv1", "stem.conv1") + batch_norm("bn1", "stem.conv1.norm")


def _deep_stem() -> list[Pair]:
    pairs = []
    for number in range(3):
        # Convolution, norm, ReLU, three times.
        theirs, ours = 3 * number, f"stem.conv{number + 1}"
        pairs += conv(f"stem.{theirs}", ours) + batch_norm(f"stem.{theirs + 1}", f"{ours}.norm")
    return pairs


def _block(theirs: str, ours: str, convs: int, *, deformable: bool) -> list[Pair]:
    pairs = []
    for n in range(1, convs + 1):
        is_deformable = deformable and n == 2
        pairs += conv(f"{theirs}.conv{n}", f"{ours}.conv{n}", deformable=is_deformable)
        pairs += batch_norm(f"{theirs}.bn{n}", f"{ours}.conv{n}.norm")
    return pairs


def _split_block(theirs: str, ours: str, splits: int, *, deformable: bool) -> list[Pair]:
    pairs = []
    for n in (1, 3):
        pairs += conv(f"{theirs}.conv{n}", f"{ours}.conv{n}")
        pairs += batch_norm(f"{theirs}.bn{n}", f"{ours}.conv{n}.norm")
    for n in range(splits - 1):
        pairs += conv(f"{theirs}.convs.{n}", f"{ours}.convs.{n}", deformable=deformable)
        pairs += batch_norm(f"{theirs}.bns.{n}", f"{ours}.convs.{n}.norm")
    return pairs


def _shortcut(theirs: str, ours: str, *, first: int) -> list[Pair]:
    theirs = f"{theirs}.downsample"
    return [
        *conv(f"{theirs}.{first}", f"{ours}.shortcut"),
        *batch_norm(f"{theirs}.{first + 1}", f"{ours}.shortcut.norm"),
    ]
