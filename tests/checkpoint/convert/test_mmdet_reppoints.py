"""Tests of vfnet_d2.checkpoint.convert.mmdet_reppoints; the parity test loads through it."""

import json

import numpy as np
import pytest

from tests.helpers.reference import DATA
from vfnet_d2.checkpoint.convert.architecture import architecture_of
from vfnet_d2.checkpoint.convert.mmdet_reppoints import head_pairs, neck_pairs
from vfnet_d2.checkpoint.convert.shipped import configs_for


@pytest.mark.parametrize(
    ("prefix", "pairs"), [("bbox_head.", head_pairs(deformable=False)), ("neck.", neck_pairs())]
)
def test_has_all_of_the_reference_s_names_and_no_others(prefix: str, pairs: list) -> None:
    with np.load(DATA / "reppoints_r50.npz") as arrays:
        state = json.loads(str(arrays["meta_json"]))["state"]
    assert sorted(p.theirs for p in pairs) == sorted(n for n, *_ in state if n.startswith(prefix))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("bbox_head.moment_transfer", "head.moment_transfer"),
        ("bbox_head.reg_convs.2.gn.weight", "head.point_tower.2.norm.weight"),
        ("bbox_head.reppoints_pts_init_out.bias", "head.point_pred.bias"),
        ("bbox_head.reppoints_cls_conv.weight", "head.cls_conv.weight"),
        ("neck.lateral_convs.1.gn.bias", "backbone.fpn_lateral4.norm.bias"),
        ("neck.fpn_convs.3.conv.weight", "backbone.top_block.p6.weight"),
    ],
)
def test_by_hand(theirs: str, ours: str) -> None:
    pairs = [*head_pairs(deformable=False), *neck_pairs()]
    assert {pair.theirs: pair.ours for pair in pairs}[theirs] == ours


def test_its_files_are_recognised() -> None:
    with np.load(DATA / "reppoints_r50.npz") as arrays:
        state = json.loads(str(arrays["meta_json"]))["state"]
    found = architecture_of({name: tuple(shape) for name, shape, _ in state})
    assert (found.name, found.num_classes) == ("reppoints_R_50", 80)
    assert "baselines/reppoints_R_50_1x" in configs_for(found.name)
    ours = {pair.ours: next(s for n, s, _ in state if n == pair.theirs) for pair in found.pairs}
    assert architecture_of(ours) == found
