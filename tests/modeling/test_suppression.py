"""Tests of vfnet_d2.modeling.suppression; those of NMS stand in test_postprocess."""

import pytest
import torch
from detectron2.config import LazyCall, LazyConfig, instantiate
from detectron2.modeling import build_model

from tests.helpers.naive_suppression import naive_soft_nms, random_candidates
from tests.helpers.quick_model import LAZY, quick_config
from vfnet_d2.modeling.suppression import ClasswiseNMS, KeepAll, SoftNMS, Suppression


def test_soft_nms_is_the_naive_loop() -> None:
    candidates = random_candidates(60, 4)
    keep, _ = SoftNMS(iou_thresh=0.4, min_score=0.1)(*candidates, limit=100)
    options = {"method": "linear", "iou_thresh": 0.4, "sigma": 0.5, "min_score": 0.1}
    assert keep.tolist() == [index for index, _ in naive_soft_nms(*candidates, **options)]


@pytest.mark.parametrize("suppression", [ClasswiseNMS(0.6), SoftNMS(iou_thresh=0.6), KeepAll()])
def test_all_fit_the_protocol(suppression: object) -> None:
    assert isinstance(suppression, Suppression)


def test_keep_all_keeps_the_order() -> None:
    boxes, scores, classes = random_candidates(9, 1)
    keep, kept = KeepAll()(boxes, scores, classes, limit=3)
    assert keep.tolist() == list(range(9)) and torch.equal(kept, scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "cubic"}, "method is 'cubic', which is unknown"),
        ({"sigma": 0.0}, "sigma is 0.0; it must be above 0"),
        ({"min_score": 0.0}, "min_score is 0.0; it must be above 0"),
    ],
)
def test_bad_settings(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoftNMS(iou_thresh=0.5, **options)


def test_both_config_systems_choose_soft_nms() -> None:
    node = "MODEL.ONE_STAGE"
    options = [f"{node}.SUPPRESSION.NAME", "SoftNMS", f"{node}.NMS_THRESH", 0.65]
    options += [f"{node}.SUPPRESSION.SoftNMS.METHOD", "gaussian"]
    lazy = LazyConfig.load(LAZY)
    lazy.model.suppression = LazyCall(SoftNMS)(iou_thresh=0.65, method="gaussian")
    expected = {"iou_thresh": 0.65, "method": "gaussian", "sigma": 0.5, "min_score": 1e-3}
    for model in (build_model(quick_config(*options)), instantiate(lazy.model)):
        assert isinstance(model.suppression, SoftNMS)
        assert vars(model.suppression) == expected


def test_an_unknown_suppression() -> None:
    key = "MODEL.ONE_STAGE.SUPPRESSION.NAME"
    with pytest.raises(ValueError, match=rf"{key} is 'Fancy', which is unknown"):
        build_model(quick_config(key, "Fancy"))
