"""Tests of the switches of vfnet_d2.modeling.dense.heads.vfnet_head that Table 3 needs."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers.head_outputs import maps_of
from vfnet_d2.layers.deform.backend import set_deform_conv
from vfnet_d2.modeling.dense.heads.vfnet_head import VFNetHead

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")


def make_head(**options: Any) -> VFNetHead:
    defaults: dict[str, Any] = {
        **{"in_channels": 8, "num_classes": 5, "num_levels": 1, "channels": 32},
        "init_std": 0.05,
    }
    head = VFNetHead(**(defaults | options))
    set_deform_conv(head, "grid_sample")
    return head


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 8, 6, 7)


def test_raw_vfnet_layer_by_layer(x: Tensor) -> None:
    head = make_head(star=False, refinement=False)
    logits, boxes, quality = maps_of(head([x]))
    y = x
    for b in [*head.cls_tower, head.cls_conv]:
        y = F.relu(F.group_norm(F.conv2d(y, b.weight, padding=1), 32, b.norm.weight, b.norm.bias))
    torch.testing.assert_close(logits[0], head.cls_pred(y))
    assert len(head.cls_tower) == 3 and len(boxes) == 1 and quality is None
    expected = head.box_pred(head.box_conv(head.box_tower(x))).exp()
    torch.testing.assert_close(boxes[0][0], expected)


def test_the_raw_head_has_no_parameters_of_star_or_refinement() -> None:
    names = {
        name.split(".")[0] for name, _ in make_head(star=False, refinement=False).named_parameters()
    }
    towers = {
        "cls_tower",
        "cls_conv",
        "cls_pred",
        "box_tower",
        "box_conv",
        "box_pred",
        "box_scales",
    }
    assert names == towers


def test_without_refinement_all_else_is_vfnet_s(x: Tensor) -> None:
    full, head = make_head(), make_head(refinement=False)
    missing, unexpected = head.load_state_dict(copy.deepcopy(full.state_dict()), strict=False)
    assert missing == [] and {name.split("_")[0] for name in unexpected} == {"refine"}
    logits, boxes, _ = maps_of(full([x]))
    ours, (initial,), _ = maps_of(head([x]))
    assert torch.equal(ours[0], logits[0]) and torch.equal(initial[0], boxes[0][0])


def test_refinement_without_star_is_refused() -> None:
    with pytest.raises(ValueError, match="refinement reads the star's points: it needs star=True"):
        make_head(star=False)


def test_every_parameter_of_each_variant_is_trained(x: Tensor) -> None:
    for options in ({"star": False, "refinement": False}, {"refinement": False}, {}):
        head = make_head(**options)
        logits, boxes, _ = maps_of(head([x]))
        (logits[0].sum() + torch.stack([stage[0].sum() for stage in boxes]).sum()).backward()
        assert [name for name, p in head.named_parameters() if p.grad is None] == []
