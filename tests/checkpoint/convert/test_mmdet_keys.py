"""Tests of vfnet_d2.checkpoint.convert.mmdet_keys."""

import pytest
from torch import nn

from tests.helpers.checkpoints import ARCHITECTURES, mmdet_shapes
from tests.helpers.reference import Reference
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet, keys_of


def test_every_entry_of_the_reference_has_our_name_and_shape(
    reference: Reference, reference_model: nn.Module
) -> None:
    ours = {name: list(value.shape) for name, value in reference_model.state_dict().items()}
    for name, shape, dtype in reference.meta["state"]:
        if "int" not in dtype:  # counters of frozen norms are not in every Detectron2
            assert ours[from_mmdet(name)] == shape, name


def test_no_entry_of_ours_is_left_out_or_named_twice(
    reference: Reference, reference_model: nn.Module
) -> None:
    names = [from_mmdet(name) for name, _, _ in reference.meta["state"]]
    assert len(names) == len(set(names))
    assert set(reference_model.state_dict()) <= set(names)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("backbone.conv1.weight", "backbone.bottom_up.stem.conv1.weight"),
        ("backbone.bn1.running_var", "backbone.bottom_up.stem.conv1.norm.running_var"),
        ("backbone.layer1.0.conv2.weight", "backbone.bottom_up.res2.0.conv2.weight"),
        ("backbone.layer4.2.bn3.bias", "backbone.bottom_up.res5.2.conv3.norm.bias"),
        ("backbone.layer2.0.downsample.0.weight", "backbone.bottom_up.res3.0.shortcut.weight"),
        ("backbone.layer2.0.downsample.1.bias", "backbone.bottom_up.res3.0.shortcut.norm.bias"),
        ("neck.lateral_convs.0.conv.bias", "backbone.fpn_lateral3.bias"),
        ("neck.fpn_convs.2.conv.weight", "backbone.fpn_output5.weight"),
        ("neck.fpn_convs.4.conv.weight", "backbone.top_block.p7.weight"),
        ("bbox_head.reg_convs.1.gn.weight", "head.box_tower.1.norm.weight"),
        ("bbox_head.scales_refine.3.scale", "head.refine_scales.3.scale"),
        ("bbox_head.vfnet_cls_dconv.weight", "head.cls_star.weight"),
    ],
)
def test_names_by_hand(theirs: str, ours: str) -> None:
    assert from_mmdet(theirs) == ours


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_name_of_every_reference_has_one_of_ours(name: str) -> None:
    names = [from_mmdet(x, res2net="res2net" in name) for x in mmdet_shapes(name)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("res2net", "ours"), [(False, "shortcut.norm.weight"), (True, "shortcut.weight")]
)
def test_res2net_counts_its_shortcut_from_the_average_pooling(res2net: bool, ours: str) -> None:
    found = from_mmdet("backbone.layer2.0.downsample.1.weight", res2net=res2net)
    assert found == f"backbone.bottom_up.res3.0.{ours}"


@pytest.mark.parametrize(
    "name", ["bbox_head.atss_cls.weight", "backbone.layer5.0.conv1.weight", "ema.backbone.x", ""]
)
def test_a_name_of_another_network_is_refused(name: str) -> None:
    with pytest.raises(KeyError, match=f"{name!r} is not the name of a parameter of mmdet's VFNet"):
        from_mmdet(name)


def test_an_unknown_detector_has_no_keys() -> None:
    assert keys_of("Other") is None


def test_keys_of_a_detector_that_shares_another_s_tensors() -> None:
    assert keys_of("FCOSATSS") is keys_of("ATSS") is not None
