"""Rows of the results table without stored results: mmdet's weights load, run and train.

Their names and shapes follow from those of the reference's networks. test_parity_models.py compares
what the parts that they are made of compute.
"""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.helpers.checkpoints import mmdet_shapes
from tests.helpers.fill_rule import filled
from tests.helpers.reference import build_unfilled
from tests.helpers.small_model import random_input
from vfnet_d2.checkpoint.convert.architecture import architecture_of
from vfnet_d2.checkpoint.convert.rename import convert_state

Shapes = dict[str, tuple[int, ...]]


def rigid(shapes: Shapes) -> Shapes:
    """Without deformable convolutions."""
    return {name: shape for name, shape in shapes.items() if "conv_offset" not in name}


def deformable(shapes: Shapes) -> Shapes:
    """With them in the 3x3 convolutions of c3 to c5 and in the last ones of the towers."""
    made = dict(shapes)
    where = r"(backbone\.layer[234]\.\d+\.conv2|bbox_head\.(cls|reg)_convs\.2\.conv)\.weight"
    for name, shape in shapes.items():
        if re.fullmatch(where, name):
            offset = name.replace(".weight", ".conv_offset")
            # 3 x 9 channels over the convolution's inputs, as many as its outputs
            made |= {f"{offset}.weight": (27, shape[0], 3, 3), f"{offset}.bias": (27,)}
    return made


def half_the_groups(shapes: Shapes) -> Shapes:
    """With 32 groups in place of 64: half the channels within every block."""
    made = dict(shapes)
    for name, (*shape,) in shapes.items():
        leaf = re.sub(r"backbone\.layer\d\.\d+\.", "", name)
        if leaf == name or leaf.endswith("num_batches_tracked"):
            continue
        if leaf.startswith(("conv1", "bn1", "bn2")) or leaf == "conv2.weight":
            shape[0] //= 2
        elif leaf in ("conv3.weight", "conv2.conv_offset.weight"):
            shape[1] //= 2
        made[name] = tuple(shape)
    return made


# Config, and the shapes of its network in mmdet
ROWS: dict[str, Callable[[], Shapes]] = {
    "vfnet_R_101_DCN_MS_2x": lambda: deformable(mmdet_shapes("vfnet_r101_fpn")),
    "vfnet_X_101_32x4d_MS_2x": lambda: half_the_groups(
        rigid(mmdet_shapes("vfnet_x101_64x4d_mdconv"))
    ),
    "vfnet_X_101_32x4d_DCN_MS_2x": lambda: half_the_groups(mmdet_shapes("vfnet_x101_64x4d_mdconv")),
    "vfnet_X_101_64x4d_MS_2x": lambda: rigid(mmdet_shapes("vfnet_x101_64x4d_mdconv")),
    "vfnet_R2_101_MS_2x": lambda: rigid(mmdet_shapes("vfnet_res2net101_mdconv")),
}


@pytest.mark.parametrize("name", ["vfnet_r50_mdconv"])
def test_names_of_a_deformable_network_follow_from_the_rigid_one(name: str) -> None:
    # Of R-50 both lists are known.
    assert deformable(mmdet_shapes("vfnet_r50_fpn")) == mmdet_shapes(name)


@pytest.mark.slow
@pytest.mark.parametrize("config", ROWS)
def test_weights_of_mmdet_load_and_the_network_trains(config: str) -> None:
    shapes = ROWS[config]()
    state: dict[str, Tensor] = {
        name: torch.from_numpy(filled(name, shape, integer=name.endswith("tracked")))
        for name, shape in shapes.items()
    }
    architecture = architecture_of(shapes)
    assert architecture.name == config.removesuffix("_MS_2x")
    converted, report = convert_state(state, architecture.pairs, source="mmdet", target="ours")
    assert report.complete

    model = build_unfilled(config)
    result = model.load_state_dict(converted, strict=False)
    counters = "num_batches_tracked"  # of frozen norms, in Detectron2 main alone
    assert not [x for x in result.missing_keys if not x.endswith(counters)]
    assert not [x for x in result.unexpected_keys if not x.endswith(counters)]

    losses = model.train()([random_input(64, 64, 2)])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    model.eval()
    with torch.no_grad():
        (result,) = model([random_input(64, 64, 0)])
    assert len(result["instances"]) > 0
    assert result["instances"].pred_boxes.tensor.isfinite().all()
