"""Tests of vfnet_d2.modeling.dense.heads.tower_head."""

from typing import Any

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.fcos import FCOSHead
from torch import Tensor

from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY, DenseHead
from vfnet_d2.modeling.dense.heads.tower_head import TowerHead

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")

CHANNELS, CLASSES = 32, 5


def build(**options: Any) -> TowerHead:
    arguments = {"num_levels": 2, "num_anchors": 1, "channels": CHANNELS, "num_convs": 2, **options}
    return TowerHead(in_channels=CHANNELS, num_classes=CLASSES, **arguments)


def features() -> list[Tensor]:
    return [torch.randn(2, CHANNELS, 6, 4), torch.randn(2, CHANNELS, 3, 2)]


def test_is_a_registered_head() -> None:
    assert HEAD_REGISTRY.get("TowerHead") is TowerHead
    assert isinstance(build(), DenseHead)


def test_equals_detectron2_s_head_of_the_same_weights() -> None:
    # Detectron2's FCOS head: two towers without norm, and the centerness on the box tower.
    theirs = FCOSHead(
        input_shape=[ShapeSpec(channels=CHANNELS)] * 2,
        num_classes=CLASSES,
        conv_dims=[CHANNELS] * 2,
    )
    ours = build(norm="", level_scales=False, init_std=0.1)
    twins = {
        "cls_tower.0": "cls_subnet.0",
        "cls_tower.1": "cls_subnet.2",
        "box_tower.0": "bbox_subnet.0",
        "box_tower.1": "bbox_subnet.2",
        "cls_pred": "cls_score",
        "box_pred": "bbox_pred",
        "centerness_pred": "ctrness",
    }
    for one, other in twins.items():
        theirs.get_submodule(other).load_state_dict(ours.get_submodule(one).state_dict())
    maps = features()
    logits, boxes, centerness = theirs(maps)
    found = ours(maps)
    assert found.quality is not None
    for mine, expected in ((found.logits, logits), (found.boxes[0].maps(), boxes)):
        torch.testing.assert_close(mine, expected)
    torch.testing.assert_close(found.quality, centerness)


def test_shapes_with_nine_anchors_a_cell() -> None:
    outputs = build(num_anchors=9)(features())
    assert [tuple(x.shape) for x in outputs.logits] == [(2, 45, 6, 4), (2, 45, 3, 2)]
    assert [[tuple(x.shape) for x in stage.maps()] for stage in outputs.boxes] == [
        [(2, 36, 6, 4), (2, 36, 3, 2)]
    ]
    assert outputs.quality and [tuple(x.shape) for x in outputs.quality] == [
        (2, 9, 6, 4),
        (2, 9, 3, 2),
    ]


def test_each_level_has_its_own_factor_of_the_boxes() -> None:
    head, maps = build(), features()
    before = head(maps).boxes[0].maps()
    with torch.no_grad():
        head.box_scales[1].scale.fill_(3.0)
    after = head(maps).boxes[0].maps()
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1], 3 * before[1])


def test_centerness_can_be_left_out() -> None:
    head = build(centerness=False)
    assert head(features()).quality is None
    assert not [name for name, _ in head.named_parameters() if "centerness" in name]


def test_scales_can_be_left_out() -> None:
    head = build(level_scales=False)
    assert not [name for name, _ in head.named_parameters() if "scale" in name]


def test_convolutions_have_a_bias_where_there_is_no_norm() -> None:
    normed, plain = build(), build(norm="")
    assert normed.cls_tower[0].bias is None and normed.cls_tower[0].norm is not None
    assert plain.cls_tower[0].bias is not None and plain.cls_tower[0].norm is None


def test_scores_start_from_the_prior() -> None:
    head = build(prior_prob=0.2, init_std=0.0)
    assert head(features()).logits[0].sigmoid().unique().tolist() == pytest.approx([0.2])


def test_boxes_are_float32_where_the_convolutions_are_not() -> None:
    head = build().bfloat16()
    head.box_scales.float()
    outputs = head([x.bfloat16() for x in features()])
    assert {x.dtype for x in outputs.boxes[0].maps()} == {torch.float32}
