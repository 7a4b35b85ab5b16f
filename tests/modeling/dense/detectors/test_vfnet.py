"""Tests of vfnet_d2.modeling.dense.detectors.vfnet; ``test_parity.py`` has its numbers."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY
from torch import nn

from tests.helpers.small_model import small_model
from vfnet_d2.modeling.dense.detectors.vfnet import VFNet
from vfnet_d2.modeling.dense.structures import Matches


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small VFNet; leave it as it is."""
    return small_model()


def matches_of(*ious: float) -> Matches:
    """Positives whose boxes have these IoUs."""
    index = torch.zeros(len(ious), dtype=torch.long)
    boxes = torch.zeros(len(ious), 4)
    return Matches(index, index, boxes, boxes, index, boxes, torch.tensor(ious))


def test_is_registered_under_its_name() -> None:
    assert META_ARCH_REGISTRY.get("VFNet") is VFNet


def test_a_box_is_weighted_by_its_own_iou_and_never_by_zero(model: nn.Module) -> None:
    assert model.box_weights(matches_of(0.3, 0.0)).tolist() == pytest.approx([0.3, 1e-6])


def test_the_target_is_the_iou_and_never_zero(model: nn.Module) -> None:
    assert model.iou_target(matches_of(0.8, 0.0), []).tolist() == pytest.approx([0.8, 1e-6])


def test_anchors_that_the_star_would_miss_are_refused() -> None:
    sizes = [[64], [128], [256], [512], [1000]]
    with pytest.raises(ValueError, match=r"8 x stride per cell; at stride 128 .*\[1000\.0, 1000"):
        small_model("MODEL.ANCHOR_GENERATOR.SIZES", sizes)


def test_several_anchors_a_cell_are_refused() -> None:
    with pytest.raises(ValueError, match="one square anchor of 8 x stride per cell; at stride 8"):
        small_model("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5, 1.0]])


def test_another_anchor_scale_is_fine_when_the_head_knows() -> None:
    model = small_model(
        *("MODEL.ANCHOR_GENERATOR.SIZES", [[32], [64], [128], [256], [512]]),
        *("MODEL.ONE_STAGE.HEAD.VFNetHead.ANCHOR_SCALE", 4.0),
    )
    assert model.head.anchor_scale == 4


def test_a_head_without_stars_is_refused() -> None:
    with pytest.raises(ValueError, match="such as VFNetHead; TowerHead does not"):
        small_model("MODEL.ONE_STAGE.HEAD.NAME", "TowerHead")
