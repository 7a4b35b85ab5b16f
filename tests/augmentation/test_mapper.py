"""Tests of vfnet_d2.augmentation.mapper."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetMapper
from detectron2.structures import BoxMode

from vfnet_d2.augmentation.mapper import BoxAwareMapper, training_mapper
from vfnet_d2.augmentation.random_shift import RandomShift
from vfnet_d2.config import add_vfnet_config


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """An image of noise with two boxes and a crowd."""
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.random.randint(1, 256, (40, 60, 3), np.uint8))
    objects = [([5, 5, 20, 10], 0), ([30.5, 10, 12, 25], 0), ([0, 0, 60, 40], 1)]
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYWH_ABS, "category_id": 3, "iscrowd": crowd}
        for box, crowd in objects
    ]
    return {"file_name": str(path), "height": 40, "width": 60, "annotations": annotations}


def config(*names: str) -> CfgNode:
    cfg = add_vfnet_config(get_cfg())
    cfg.INPUT.MIN_SIZE_TRAIN = (80,)
    cfg.INPUT.AUGMENTATIONS.NAMES = list(names)
    return cfg


def test_without_own_augmentations_the_mapper_is_detectron2_s() -> None:
    assert type(training_mapper(config())) is DatasetMapper


def test_without_a_shift_the_result_is_detectron2_s(record: dict[str, Any]) -> None:
    cfg = config("RandomShift")
    cfg.INPUT.AUGMENTATIONS.RandomShift.PROB = 0.0
    for seed in range(4):
        results = []
        for mapper in (training_mapper(cfg), DatasetMapper(cfg, is_train=True)):
            np.random.seed(seed)
            results.append(mapper(record))
        ours, theirs = results
        assert torch.equal(ours["image"], theirs["image"])
        assert torch.equal(ours["instances"].gt_boxes.tensor, theirs["instances"].gt_boxes.tensor)
        assert torch.equal(ours["instances"].gt_classes, theirs["instances"].gt_classes)


def test_a_shift_moves_pixels_and_boxes_together(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mapper = BoxAwareMapper(
        is_train=True, augmentations=[RandomShift(prob=1.0)], image_format="BGR"
    )
    monkeypatch.setattr(np.random, "randint", lambda low, high, size: np.array([-24, 3]))
    shifted = mapper(record)
    image = cv2.imread(record["file_name"]).transpose(2, 0, 1)
    np.testing.assert_array_equal(shifted["image"][:, 3:, :36], image[:, :-3, 24:])
    assert not shifted["image"][:, :3].any() and not shifted["image"][:, :, 36:].any()
    # The first box is left a pixel wide (25 - 24) and goes; the crowd takes no part.
    assert shifted["instances"].gt_boxes.tensor.tolist() == [[6.5, 13.0, 18.5, 38.0]]
    assert "annotations" in record and len(record["annotations"]) == 3


def test_a_crowd_alone_does_not_let_an_image_shift(record: dict[str, Any]) -> None:
    record["annotations"] = record["annotations"][2:]
    mapper = BoxAwareMapper(
        is_train=True, augmentations=[RandomShift(prob=1.0)], image_format="BGR"
    )
    shifted = mapper(record)
    assert (shifted["image"] > 0).all() and len(shifted["instances"]) == 0


def test_a_test_image_has_no_annotations(record: dict[str, Any]) -> None:
    found = BoxAwareMapper(config("RandomShift"), is_train=False)(record)
    assert "annotations" not in found and "instances" not in found
    assert min(found["image"].shape[1:]) == 800
