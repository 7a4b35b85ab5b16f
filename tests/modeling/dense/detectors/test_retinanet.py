"""Tests of vfnet_d2.modeling.dense.detectors.retinanet."""

import pytest
from detectron2.config import instantiate
from detectron2.modeling import META_ARCH_REGISTRY, build_model

from tests.helpers.shrink import shrunk_config
from vfnet_d2.model_zoo import get_config
from vfnet_d2.modeling.dense.detectors.retinanet import OneStageRetinaNet

CONFIG = "baselines/retinanet_R_50_1x"


def test_is_registered_beside_detectron2_s_own() -> None:
    assert META_ARCH_REGISTRY.get("OneStageRetinaNet") is OneStageRetinaNet
    assert META_ARCH_REGISTRY.get("RetinaNet") is not OneStageRetinaNet


def test_the_head_predicts_for_as_many_anchors_as_there_are() -> None:
    cfg = shrunk_config(CONFIG, "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[1.0, 2.0]])
    model = build_model(cfg)
    assert model.head.num_anchors == 3 * 2
    assert model.head.box_pred.out_channels == 6 * 4


def test_another_number_of_anchors_than_the_head_s_is_refused() -> None:
    lazy = get_config(CONFIG, suffix=".py").model
    lazy.backbone.bottom_up.depth = 18
    lazy.anchor_generator.aspect_ratios = [[1.0]]
    with pytest.raises(ValueError, match=r"9 boxes a cell.*makes \[3, 3, 3, 3, 3\] anchors"):
        instantiate(lazy)


def test_a_head_of_one_anchor_is_refused() -> None:
    cfg = shrunk_config(CONFIG)
    cfg.MODEL.ONE_STAGE.HEAD.NAME = "VFNetHead"
    with pytest.raises(ValueError, match=r"predicts 1 boxes a cell.*makes \[9, 9, 9, 9, 9\]"):
        build_model(cfg)
