"""Tests of vfnet_d2.checkpoint.imagenet."""

import pytest
import torch
import torchvision
from torch import Tensor

from tests.helpers.checkpoints import thin_state
from vfnet_d2.checkpoint.convert.architecture import shapes_of
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.imagenet import (
    ImageNetBackbone,
    check_backbone,
    is_imagenet,
    loading_line,
    rename_imagenet,
)


def torchvision_state(name: str = "resnet50") -> dict[str, Tensor]:
    """Torchvision's own names and shapes, without values."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)().state_dict()


def mmdet_state(name: str) -> dict[str, Tensor]:
    """Names of mmdet's ImageNet files: those of a detector's backbone, with nothing before them."""
    prefix = "backbone."
    return {
        key.removeprefix(prefix): value
        for key, value in thin_state(name).items()
        if key.startswith(prefix) and "conv_offset" not in key
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv1.weight", "layer1.0.conv1.weight"], True),
        (["backbone.layer1.0.conv1.weight"], True),
        (["module.layer1.0.conv1.weight", "module.fc.bias"], True),
        (["backbone.layer1.0.conv1.weight", "bbox_head.vfnet_cls.weight"], False),
        (["backbone.bottom_up.res2.0.conv1.weight"], False),
        (["features.0.weight"], False),
    ],
)
def test_recognises_them(names: list[str], expected: bool) -> None:
    assert is_imagenet(names) is expected


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnext101_64x4d"])
def test_all_of_torchvision_s_tensors_are_used_but_the_classifier(name: str) -> None:
    state = torchvision_state(name)
    loaded = rename_imagenet(state, "x.pth")
    assert loaded.unused == ["fc.weight", "fc.bias"]
    assert len(loaded.state) == len(state) - 2


@pytest.mark.parametrize("name", ["vfnet_x101_64x4d_mdconv", "vfnet_res2net101_mdconv"])
@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
def test_mmdet_s_names_become_the_detector_s(name: str, prefix: str) -> None:
    state = mmdet_state(name)
    loaded = rename_imagenet({prefix + key: value for key, value in state.items()}, "x.pth")
    expected = {
        from_mmdet(f"backbone.{key}", res2net="res2net" in name): value
        for key, value in state.items()
    }
    assert loaded.state.keys() == expected.keys()
    assert all(loaded.state[key] is value for key, value in expected.items())


def test_mmpretrain_s_classifier_is_unused() -> None:
    state = {f"backbone.{key}": x for key, x in mmdet_state("vfnet_r50_fpn").items()}
    loaded = rename_imagenet({**state, "head.fc.weight": torch.zeros(1)}, "x.pth")
    assert loaded.unused == ["head.fc.weight"]


def test_missing_and_unknown_tensors_are_refused() -> None:
    state = torchvision_state()
    del state["layer2.1.bn1.weight"]
    state["attention.weight"] = torch.zeros(1)
    message = r"ImageNet R_50, but misses 1 .*\['layer2\.1\.bn1\.weight'\].* 1 others \(\['atten"
    with pytest.raises(CheckpointError, match=message):
        rename_imagenet(state, "x.pth")


def test_a_depth_nobody_knows_is_refused() -> None:
    state = {key: x for key, x in torchvision_state().items() if "layer3.5." not in key}
    with pytest.raises(CheckpointError, match=r"x\.pth is no backbone that is known here"):
        rename_imagenet(state, "x.pth")


def model_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of our backbone of torchvision's network, with a part that is none of its."""
    shapes = shapes_of(rename_imagenet(torchvision_state(name), "x.pth").state)
    return {**shapes, "head.cls_pred.weight": (80, 256, 3, 3)}


def test_a_backbone_fits_its_own_model() -> None:
    shapes = model_shapes("resnet50")
    # Layers that are frozen have no counter, and offsets of deformable layers start afresh.
    shapes = {key: x for key, x in shapes.items() if "num_batches_tracked" not in key}
    shapes["backbone.bottom_up.res3.0.conv2.conv_offset.weight"] = (27, 128, 3, 3)
    check_backbone(rename_imagenet(torchvision_state(), "x.pth"), shapes, "x.pth")


@pytest.mark.parametrize(("file", "model"), [("resnet50", "resnet101"), ("resnet101", "resnet50")])
def test_a_backbone_of_another_depth_is_refused(file: str, model: str) -> None:
    # 17 blocks of 3 convolutions with 5 tensors each (a weight and four of BN)
    message = r"another model: 255 tensors do not fit, first backbone\.bottom_up\.res4\.10\."
    with pytest.raises(CheckpointError, match=message):
        loaded = rename_imagenet(torchvision_state(file), "x.pth")
        check_backbone(loaded, model_shapes(model), "x.pth")


def test_a_backbone_of_another_width_is_refused() -> None:
    loaded = rename_imagenet(torchvision_state("wide_resnet50_2"), "x.pth")
    with pytest.raises(CheckpointError, match=r"shape \(128,\) in the file and \(64,\) in the"):
        check_backbone(loaded, model_shapes("resnet50"), "x.pth")


def test_the_line_counts_where_tensors_went() -> None:
    loaded = ImageNetBackbone({"a": torch.zeros(1), "b": torch.zeros(1)}, ["fc.weight"])
    fresh = [
        "backbone.fpn_lateral3.weight",
        "backbone.top_block.p6.bias",
        "backbone.bottom_up.res3.0.conv2.conv_offset.weight",
        "head.cls_tower.2.conv_offset.weight",
        "head.cls_pred.weight",
        "head.cls_pred.bias",
    ]
    assert loading_line(loaded, fresh, "x.pth") == (
        "ImageNet backbone x.pth: 2 tensors loaded into the model's backbone, 1 unused (fc.weight: "
        "ImageNet's classifier); fresh in the model: 1 of the backbone's offset convolutions, "
        "2 of the FPN, 3 of the head"
    )
