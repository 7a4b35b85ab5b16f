"""Tests of vfnet_d2.checkpoint.convert.mmdet_vfnet."""

import pytest

from tests.helpers.checkpoints import mmdet_shapes
from vfnet_d2.checkpoint.convert.mmdet_vfnet import head_pairs


@pytest.mark.parametrize(
    ("name", "deformable"), [("vfnet_r50_fpn", False), ("vfnet_r50_mdconv", True)]
)
def test_has_all_names_of_the_reference_s_head_and_no_others(name: str, deformable: bool) -> None:
    theirs = sorted(pair.theirs for pair in head_pairs(deformable=deformable))
    assert theirs == sorted(x for x in mmdet_shapes(name) if x.startswith("bbox_head."))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("bbox_head.cls_convs.2.conv.weight", "head.cls_tower.2.weight"),
        ("bbox_head.cls_convs.2.conv.conv_offset.bias", "head.cls_tower.2.conv_offset.bias"),
        ("bbox_head.reg_convs.2.gn.weight", "head.box_tower.2.norm.weight"),
        ("bbox_head.vfnet_reg.bias", "head.box_pred.bias"),
        ("bbox_head.scales.4.scale", "head.box_scales.4.scale"),
    ],
)
def test_by_hand(theirs: str, ours: str) -> None:
    assert {pair.theirs: pair.ours for pair in head_pairs(deformable=True)}[theirs] == ours
