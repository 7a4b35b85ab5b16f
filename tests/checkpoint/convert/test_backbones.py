"""Tests of vfnet_d2.checkpoint.convert.backbones."""

import pytest
import torch
import torchvision

from tests.helpers.checkpoints import mmdet_shapes
from vfnet_d2.checkpoint.convert.backbones import Backbone, backbone_pairs, read_backbone
from vfnet_d2.checkpoint.errors import CheckpointError

# Depths, groups and widths as the configurations of the reference name them.
KNOWN = {
    "vfnet_r50_fpn": Backbone((3, 4, 6, 3), True, 1, 64, 1, ()),
    "vfnet_r101_fpn": Backbone((3, 4, 23, 3), True, 1, 64, 1, ()),
    "vfnet_r50_mdconv": Backbone((3, 4, 6, 3), True, 1, 64, 1, (2, 3, 4)),
    "vfnet_x101_64x4d_mdconv": Backbone((3, 4, 23, 3), True, 64, 4, 1, (2, 3, 4)),
    "vfnet_res2net101_mdconv": Backbone((3, 4, 23, 3), True, 1, 26, 4, (2, 3, 4)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_reads_what_the_reference_was_built_as(name: str) -> None:
    assert read_backbone(mmdet_shapes(name), stage="backbone.layer", first=1) == KNOWN[name]


@pytest.mark.parametrize("name", KNOWN)
def test_pairs_have_all_of_the_reference_s_names_and_no_others(name: str) -> None:
    theirs = [f"backbone.{pair.theirs}" for pair in backbone_pairs(KNOWN[name])]
    assert sorted(theirs) == sorted(x for x in mmdet_shapes(name) if x.startswith("backbone."))


@pytest.mark.parametrize("name", KNOWN)
def test_our_names_are_all_different(name: str) -> None:
    ours = [pair.ours for pair in backbone_pairs(KNOWN[name])]
    assert len(set(ours)) == len(ours)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnext101_64x4d"])
def test_pairs_have_all_of_torchvision_s_names(name: str) -> None:
    with torch.device("meta"):
        state = getattr(torchvision.models, name)().state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    pairs = backbone_pairs(read_backbone(shapes, stage="layer", first=1))
    assert {pair.theirs for pair in pairs} == shapes.keys() - {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        (Backbone((3, 4, 6, 3), True, 1, 64, 1, ()), "R_50"),
        (Backbone((3, 4, 23, 3), True, 32, 4, 1, ()), "X_101_32x4d"),
        (Backbone((3, 4, 23, 3), True, 1, 26, 4, (2, 3, 4)), "R2_101_DCN"),
        (Backbone((3, 4, 23, 3), True, 1, 48, 2, ()), "R2_101_48w2s"),
        (Backbone((3, 4, 6, 3), True, 1, 64, 1, (3, 4)), "R_50_DCN_c4c5"),
        (Backbone((2, 2, 2, 2), False, 1, 64, 1, ()), "R_18"),
    ],
)
def test_names(backbone: Backbone, name: str) -> None:
    assert backbone.name + backbone.suffix == name


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("layer2.1.conv2.conv_offset.bias", "res3.1.conv2.conv_offset.bias"),
        ("layer2.1.bn2.running_mean", "res3.1.conv2.norm.running_mean"),
        ("layer4.0.downsample.0.weight", "res5.0.shortcut.weight"),
        ("layer4.0.downsample.1.weight", "res5.0.shortcut.norm.weight"),
    ],
)
def test_resnet_by_hand(theirs: str, ours: str) -> None:
    pairs = {pair.theirs: pair.ours for pair in backbone_pairs(KNOWN["vfnet_r50_mdconv"])}
    assert pairs[theirs] == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stem.0.weight", "stem.conv1.weight"),
        ("stem.4.running_var", "stem.conv2.norm.running_var"),
        ("stem.6.weight", "stem.conv3.weight"),
        ("layer3.22.convs.2.conv_offset.weight", "res4.22.convs.2.conv_offset.weight"),
        ("layer3.22.bns.2.bias", "res4.22.convs.2.norm.bias"),
        ("layer1.0.downsample.1.weight", "res2.0.shortcut.weight"),
        ("layer1.0.downsample.2.weight", "res2.0.shortcut.norm.weight"),
    ],
)
def test_res2net_by_hand(theirs: str, ours: str) -> None:
    pairs = {pair.theirs: pair.ours for pair in backbone_pairs(KNOWN["vfnet_res2net101_mdconv"])}
    assert pairs[theirs] == ours


def test_a_depth_nobody_knows_is_refused() -> None:
    shapes = {k: v for k, v in mmdet_shapes("vfnet_r101_fpn").items() if "layer3.22." not in k}
    with pytest.raises(CheckpointError, match=r"\(3, 4, 22, 3\) residual blocks, which is no"):
        read_backbone(shapes, stage="backbone.layer", first=1)


def test_no_backbone_at_all_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"\(0, 0, 0, 0\) residual blocks"):
        read_backbone({"bbox_head.x": (1,)}, stage="backbone.layer", first=1)


def test_a_block_without_its_3x3_convolution_is_refused() -> None:
    shapes = mmdet_shapes("vfnet_r50_fpn")
    del shapes["backbone.layer1.0.conv2.weight"]
    with pytest.raises(CheckpointError, match=r"no 3x3 convolution backbone\.layer1\.0\.conv2"):
        read_backbone(shapes, stage="backbone.layer", first=1)


def test_unmodulated_deformable_convolution_is_refused() -> None:
    # DCNv1: 2 offsets x 9 points
    shapes = mmdet_shapes("vfnet_r50_mdconv")
    shapes["backbone.layer2.0.conv2.conv_offset.weight"] = (18, 128, 3, 3)
    with pytest.raises(CheckpointError, match=r"has 18 output channels; .* has 27\. DCNv1"):
        read_backbone(shapes, stage="backbone.layer", first=1)
