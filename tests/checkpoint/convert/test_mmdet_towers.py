"""Tests of vfnet_d2.checkpoint.convert.mmdet_towers."""

import json

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tests.helpers.reference import DATA
from tests.helpers.shrink import shrunk_config
from tests.helpers.tower_reference import TOWERS
from vfnet_d2.checkpoint.convert.architecture import Architecture, architecture_of
from vfnet_d2.checkpoint.convert.mmdet_towers import swap_sizes_and_shapes
from vfnet_d2.checkpoint.convert.rename import convert_state

Shapes = dict[str, tuple[int, ...]]


def their_shapes(name: str) -> Shapes:
    with np.load(DATA / f"{name}.npz") as arrays:
        state = json.loads(str(arrays["meta_json"]))["state"]
    return {key: tuple(shape) for key, shape, _ in state}


def architecture(name: str) -> Architecture:
    return architecture_of(their_shapes(name))


@pytest.mark.parametrize("name", TOWERS)
def test_has_all_names_of_the_reference_and_no_others(name: str) -> None:
    assert {pair.theirs for pair in architecture(name).pairs} == set(their_shapes(name))


@pytest.mark.parametrize("name", TOWERS)
def test_the_architecture_is_recognised_in_both_namings(name: str) -> None:
    theirs = architecture(name)
    shapes = their_shapes(name)
    ours = architecture_of({pair.ours: shapes[pair.theirs] for pair in theirs.pairs})
    assert theirs == ours
    assert (theirs.name, theirs.num_classes) == (f"{TOWERS[name]}_R_50", 80)


@pytest.mark.parametrize("name", TOWERS)
def test_our_names_are_those_of_our_model(name: str) -> None:
    num_convs = ("MODEL.ONE_STAGE.HEAD.TowerHead.NUM_CONVS", 4)
    model = build_model(shrunk_config(f"baselines/{TOWERS[name]}_R_50_1x", *num_convs))
    ours = {
        pair.ours for pair in architecture(name).pairs if not pair.ours.startswith("backbone.b")
    }
    assert ours == {key for key in model.state_dict() if not key.startswith("backbone.b")}


def test_anchors_are_reordered_from_shape_by_shape_to_size_by_size() -> None:
    # Two channels an anchor, named by shape, size and channel.
    theirs = torch.tensor(
        [100 * h + 10 * s + c for h in range(3) for s in range(3) for c in (0, 1)]
    )
    expected = [100 * h + 10 * s + c for s in range(3) for h in range(3) for c in (0, 1)]
    assert swap_sizes_and_shapes(theirs).tolist() == expected


def test_only_retinanet_s_predictors_are_reordered() -> None:
    swapped = {
        pair.theirs.removeprefix("bbox_head.")
        for pair in architecture("retinanet_r50_fpn").pairs
        if pair.to_ours is swap_sizes_and_shapes
    }
    assert swapped == {f"retina_{k}.{leaf}" for k in ("cls", "reg") for leaf in ("weight", "bias")}


def test_there_and_back_gives_the_same_tensors() -> None:
    name = "retinanet_r50_fpn"
    shapes = their_shapes(name)
    # The heads alone: what lies below is VFNet's and tested there.
    pairs = [pair for pair in architecture(name).pairs if pair.theirs.startswith("bbox_head")]
    theirs = {pair.theirs: torch.randn(shapes[pair.theirs]) for pair in pairs}
    ours, report = convert_state(theirs, pairs, source="mmdet", target="ours")
    assert report.complete
    assert not torch.equal(ours["head.cls_pred.bias"], theirs["bbox_head.retina_cls.bias"])
    back, _ = convert_state(ours, pairs, source="ours", target="mmdet")
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[key], theirs[key]) for key in back)


@pytest.mark.parametrize("name", TOWERS)
def test_a_deformable_tower_s_offsets_are_left_over(name: str) -> None:
    pairs = architecture(name).pairs
    extra = "bbox_head.cls_convs.3.conv.conv_offset.weight"
    state = {name: torch.zeros(9) for name in [*(pair.theirs for pair in pairs), extra]}
    _, report = convert_state(state, pairs, source="mmdet", target="ours")
    assert report.left_over == [extra]
