"""Tests of vfnet_d2.checkpoint.convert.mmdet_yolof; the parity test loads through it."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.checkpoints import save_mmdet
from tests.helpers.reference import DATA
from tests.helpers.their_yolof import small_yolof
from vfnet_d2.checkpoint.convert.architecture import architecture_of
from vfnet_d2.checkpoint.convert.converter import convert_checkpoint
from vfnet_d2.checkpoint.convert.mmdet_yolof import head_pairs, neck_pairs
from vfnet_d2.checkpoint.convert.shipped import configs_for
from vfnet_d2.checkpoint.files import read_file
from vfnet_d2.checkpoint.metadata import MSRA_INPUT

Shapes = dict[str, tuple[int, ...]]
# What mmdet's config of YOLOF says of the input.
CONFIG = (
    "img_norm_cfg = dict(mean=[103.530, 116.280, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)\n"
)


@functools.cache
def their_shapes() -> Shapes:
    with np.load(DATA / "yolof_r50_c5.npz") as arrays:
        state = json.loads(str(arrays["meta_json"]))["state"]
    return {name: tuple(shape) for name, shape, _ in state}


def with_outputs(anchors: int, classes: int) -> Shapes:
    """The reference with another number of anchors of a cell and of classes."""
    counts = {"cls_score": anchors * classes, "bbox_pred": anchors * 4, "object_pred": anchors}
    changed = their_shapes().copy()
    for layer, count in counts.items():
        for leaf in ("weight", "bias"):
            name = f"bbox_head.{layer}.{leaf}"
            changed[name] = (count, *changed[name][1:])
    return changed


def thin_state() -> dict[str, Tensor]:
    """A tensor of few elements for each of the reference's, filled with a number of its own."""
    telling = ("object_pred.weight", "cls_score.weight", "layer1.0.conv2.weight")
    state = {}
    for index, (name, shape) in enumerate(their_shapes().items()):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(index)
        else:
            sides = (*shape[:2], 1, 1) if name.endswith(telling) else [1] * len(shape)
            state[name] = torch.full(sides, float(index))
    return state


@pytest.mark.parametrize(
    ("prefix", "pairs"), [("bbox_head.", head_pairs(deformable=False)), ("neck.", neck_pairs())]
)
def test_has_all_of_the_reference_s_names_and_no_others(prefix: str, pairs: list) -> None:
    names = sorted(name for name in their_shapes() if name.startswith(prefix))
    assert sorted(pair.theirs for pair in pairs) == names


def test_our_names_are_those_of_our_model() -> None:
    ours = {pair.ours for pair in [*head_pairs(deformable=False), *neck_pairs()]}
    assert ours == {x for x in small_yolof().state_dict() if not x.startswith("backbone.bottom_up")}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("neck.lateral_conv.bias", "backbone.lateral.bias"),
        ("neck.fpn_norm.running_var", "backbone.output.norm.running_var"),
        (
            "neck.dilated_encoder_blocks.3.conv2.conv.weight",
            "backbone.blocks.3.conv2.weight",
        ),
        ("neck.dilated_encoder_blocks.0.conv1.bn.bias", "backbone.blocks.0.conv1.norm.bias"),
        ("bbox_head.cls_subnet.1.bn.weight", "head.cls_tower.1.norm.weight"),
        ("bbox_head.bbox_subnet.3.conv.weight", "head.box_tower.3.weight"),
        ("bbox_head.object_pred.bias", "head.objectness_pred.bias"),
    ],
)
def test_by_hand(theirs: str, ours: str) -> None:
    pairs = [*head_pairs(deformable=False), *neck_pairs()]
    assert {pair.theirs: pair.ours for pair in pairs}[theirs] == ours


@pytest.mark.parametrize(("anchors", "name"), [(5, "yolof_R_50_C5"), (6, "yolof_R_50_DC5")])
@pytest.mark.parametrize("classes", [80, 3])
def test_its_files_are_recognised_in_both_namings(anchors: int, name: str, classes: int) -> None:
    shapes = with_outputs(anchors, classes)
    found = architecture_of(shapes)
    assert (found.name, found.num_classes, found.anchors) == (name, classes, anchors)
    assert configs_for(found.name) == [f"yolof/{name}_1x"]
    assert architecture_of({pair.ours: shapes[pair.theirs] for pair in found.pairs}) == found


def test_there_and_back_gives_identical_tensors(tmp_path: Path) -> None:
    state = thin_state()
    done = convert_checkpoint(save_mmdet(tmp_path / "in.pth", state), tmp_path / "ours.pth")
    assert done.metadata.classifiers == {"head.cls_pred": 5}
    convert_checkpoint(tmp_path / "ours.pth", tmp_path / "back.pth", to="mmdet")
    back = read_file(tmp_path / "back.pth")["state_dict"]
    assert back.keys() == state.keys()
    assert all(back[name].equal(tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("meta", "told_by"), [({}, MSRA_INPUT.told_by), ({"config": CONFIG}, "the file's config")]
)
def test_its_images_are_bgr_without_a_deviation(meta: dict, told_by: str, tmp_path: Path) -> None:
    source = save_mmdet(tmp_path / "in.pth", thin_state(), meta=meta)
    done = convert_checkpoint(source, tmp_path / "ours.pth")
    assert done.metadata.input_convention == MSRA_INPUT._replace(told_by=told_by)
