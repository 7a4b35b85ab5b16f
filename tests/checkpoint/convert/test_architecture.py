"""Tests of vfnet_d2.checkpoint.convert.architecture."""

from collections.abc import Callable

import pytest
from torch import nn

from tests.helpers.checkpoints import ARCHITECTURES, mmdet_shapes
from vfnet_d2 import model_zoo
from vfnet_d2.checkpoint.convert.architecture import (
    Architecture,
    architecture_of,
    model_name,
    naming,
    shapes_of,
)
from vfnet_d2.checkpoint.convert.backbones import Backbone
from vfnet_d2.checkpoint.convert.shipped import CONFIGS, configs_for
from vfnet_d2.checkpoint.errors import CheckpointError

R_50 = Backbone((3, 4, 6, 3), True, 1, 64, 1, ())

# The published results table, with the architecture of each row.
TABLE = {
    "vfnet_R_50": ["vfnet_R_50_1x", "vfnet_R_50_MS_2x"],
    "vfnet_R_50_DCN": ["vfnet_R_50_DCN_MS_2x"],
    "vfnet_R_101": ["vfnet_R_101_1x", "vfnet_R_101_2x", "vfnet_R_101_MS_2x"],
    "vfnet_R_101_DCN": ["vfnet_R_101_DCN_MS_2x"],
    "vfnet_X_101_32x4d": ["vfnet_X_101_32x4d_MS_2x"],
    "vfnet_X_101_32x4d_DCN": ["vfnet_X_101_32x4d_DCN_MS_2x"],
    "vfnet_X_101_64x4d": ["vfnet_X_101_64x4d_MS_2x"],
    "vfnet_X_101_64x4d_DCN": ["vfnet_X_101_64x4d_DCN_MS_2x"],
    "vfnet_R2_101": ["vfnet_R2_101_MS_2x"],
    "vfnet_R2_101_DCN": ["vfnet_R2_101_DCN_MS_2x"],
}


def rigid(shapes: dict) -> dict:
    """The same network without deformable convolutions."""
    return {name: shape for name, shape in shapes.items() if "conv_offset" not in name}


def with_32_groups(shapes: dict) -> dict:
    """ResNeXt 32x4d of a 64x4d: half of the channels of every 3x3 convolution."""
    changed = dict(shapes)
    for name, shape in shapes.items():
        if name.endswith("conv2.weight"):
            changed[name] = (shape[0] // 2, *shape[1:])
    return changed


@pytest.mark.parametrize(("name", "architecture"), ARCHITECTURES.items())
def test_architectures_of_the_reference(name: str, architecture: str) -> None:
    found = architecture_of(mmdet_shapes(name))
    assert (found.name, found.num_classes) == (architecture, 80)


@pytest.mark.parametrize(
    ("source", "change", "architecture"),
    [
        ("vfnet_x101_64x4d_mdconv", rigid, "vfnet_X_101_64x4d"),
        ("vfnet_x101_64x4d_mdconv", with_32_groups, "vfnet_X_101_32x4d_DCN"),
        ("vfnet_x101_64x4d_mdconv", lambda x: rigid(with_32_groups(x)), "vfnet_X_101_32x4d"),
        ("vfnet_res2net101_mdconv", rigid, "vfnet_R2_101"),
    ],
)
def test_architectures_of_the_other_rows(
    source: str, change: Callable[[dict], dict], architecture: str
) -> None:
    assert architecture_of(change(mmdet_shapes(source))).name == architecture


def test_a_deformable_head_alone_is_another_architecture() -> None:
    shapes = mmdet_shapes("vfnet_r50_mdconv")
    shapes = {k: v for k, v in shapes.items() if "conv_offset" not in k or "bbox_head" in k}
    assert architecture_of(shapes).name == "vfnet_R_50_deformable_head"


def test_our_own_model_is_recognised_by_its_own_names(reference_model: nn.Module) -> None:
    found = architecture_of(shapes_of(reference_model.state_dict()))
    assert (found.name, found.num_classes) == ("vfnet_R_50", 80)


@pytest.mark.parametrize(
    ("names", "style"),
    [
        (["backbone.conv1.weight", "bbox_head.vfnet_cls.weight"], "mmdet"),
        (["backbone.bottom_up.stem.conv1.weight", "head.cls_pred.weight"], "ours"),
        (["conv1.weight", "layer1.0.conv1.weight"], None),
    ],
)
def test_whose_names_they_are(names: list[str], style: str | None) -> None:
    assert naming(dict.fromkeys(names, (1,))) == style


@pytest.mark.parametrize(
    ("marker", "detector"),
    [
        ("bbox_head.fcos_cls.weight", "another detector"),
        ("bbox_head.gfl_cls.weight", "GFL"),
        ("roi_head.bbox_head.fc_cls.weight", "a two-stage detector"),
    ],
)
def test_another_detector_is_named(marker: str, detector: str) -> None:
    message = rf"checkpoint of {detector}; supported: .*VFNet \(has bbox_head\.vfnet_cls_dconv"
    with pytest.raises(CheckpointError, match=message):
        architecture_of({marker: (80, 256, 3, 3)})


def test_no_detector_at_all() -> None:
    with pytest.raises(CheckpointError, match=r"no detector; its names begin with \['a', 'b'\]"):
        architecture_of({"a": (1,), "b": (2,)})


@pytest.mark.parametrize(("architecture", "configs"), TABLE.items())
def test_every_row_of_the_table_has_its_shipped_configs(
    architecture: str, configs: list[str]
) -> None:
    assert set(configs) <= set(configs_for(architecture))


@pytest.mark.parametrize("architecture", CONFIGS)
def test_each_listed_config_builds_that_architecture(architecture: str) -> None:
    for name in configs_for(architecture):
        model = model_zoo.get(name, device="meta")
        shapes = shapes_of(model.state_dict())
        assert model_name(shapes, type(model).__name__) == architecture


def test_every_standard_config_is_listed() -> None:
    # The others differ in losses, targets or size: no file would be evaluated right with them.
    listed = {config for configs in CONFIGS.values() for config in configs}
    other = ("ablations/", "quick/")
    losses = ("_qfl_1x", "_vfl_1x")
    standard = {
        name
        for name in model_zoo.available_configs()
        if not name.startswith(other) and not name.endswith(losses)
    }
    assert listed == standard


def test_an_architecture_without_config_has_none() -> None:
    assert configs_for("vfnet_R_152") == []


def test_fcos_atss_is_told_from_atss_by_its_class_alone() -> None:
    # Both have ATSS' tensors: the same names and shapes, boxes in another encoding.
    atss = Architecture("ATSS", R_50, deformable_head=False, num_classes=80)
    shapes = {pair.ours: (80, 64, 3, 3) for pair in atss.pairs}
    shapes["backbone.bottom_up.res2.0.conv2.weight"] = (64, 64, 3, 3)
    names = [model_name(shapes, detector) for detector in ("ATSS", "FCOSATSS")]
    assert names == ["atss_R_50", "fcos_atss_R_50"]
    assert [configs_for(name)[0] for name in names] == [
        "baselines/atss_R_50_1x",
        "baselines/fcos_atss_R_50_1x",
    ]


def test_an_ablation_is_not_taken_for_the_whole() -> None:
    vfnet = Architecture("VFNet", R_50, deformable_head=False, num_classes=80)
    shapes = {pair.ours: (64, 64, 3, 3) for pair in vfnet.pairs if "refine" not in pair.ours}
    assert configs_for(model_name(shapes, "VFNet")) == []


def test_a_model_without_a_key_table_is_named_by_its_class() -> None:
    assert model_name({"a": (1,)}, "VFNet") == "VFNet, of no shipped architecture"


def with_number(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of VFNet R-50 with a number in the place of a tensor."""
    vfnet = Architecture("VFNet", R_50, deformable_head=False, num_classes=80)
    return {**{pair.ours: (64, 64, 3, 3) for pair in vfnet.pairs}, name: ()}


def test_a_number_in_the_place_of_the_classifier_predicts_nothing() -> None:
    assert architecture_of(with_number("head.cls_pred.weight")).num_classes == 0


def test_a_number_in_the_place_of_an_offset_convolution_is_refused() -> None:
    shapes = with_number("backbone.bottom_up.res3.0.conv2.conv_offset.weight")
    with pytest.raises(CheckpointError, match=r"conv_offset\.weight has 0 output channels"):
        architecture_of(shapes)
