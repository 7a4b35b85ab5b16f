"""Ways of inference with a detector of one map and several anchors a cell."""

import sys

import numpy as np
import pytest
import torch
from detectron2.data.transforms import AugmentationList, ResizeShortestEdge
from detectron2.modeling import build_model
from torch import Tensor

from tests.helpers.naive_suppression import naive_soft_nms
from tests.helpers.predicting import assert_identical, noise
from tests.helpers.shrink import NUM_CLASSES, shrunk_config
from vfnet_d2.inference.plain import PlainInference, as_tensor, run_model
from vfnet_d2.inference.tiling import TiledInference
from vfnet_d2.inference.tta import AugmentedInference
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.detector import InferenceSettings
from vfnet_d2.modeling.suppression import ClasswiseNMS, KeepAll, SoftNMS

WIDTH, HEIGHT = 250, 173


@pytest.fixture(scope="module")
def model() -> OneStageDetector:
    """A small YOLOF that detects everywhere; leave it as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = ("MODEL.ONE_STAGE.SCORE_THRESH", 0.0, "MODEL.ONE_STAGE.TOPK_CANDIDATES", 10**6)
        # Random weights are for values about 1; others saturate.
        std = ("MODEL.PIXEL_STD", [60.0] * 3)
        built = build_model(shrunk_config("yolof/yolof_R_50_C5_1x", *options, *std)).eval()
    assert isinstance(built, OneStageDetector)
    return built


def candidates(
    model: OneStageDetector, image: np.ndarray, score_thresh: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and classes before suppression."""
    settings = InferenceSettings(score_thresh, sys.maxsize, KeepAll())
    (found,) = run_model(model, [{"image": as_tensor(image)}], settings)
    return found.pred_boxes.tensor, found.scores, found.pred_classes


def test_every_class_of_every_anchor_is_a_candidate(model: OneStageDetector) -> None:
    boxes, _, classes = candidates(model, noise(WIDTH, HEIGHT))
    cells = 8 * 6  # 250 x 173 in steps of 32, rounded up
    assert len(boxes) == cells * 5 * NUM_CLASSES
    assert classes.bincount().tolist() == [cells * 5] * NUM_CLASSES


def test_one_view_is_the_plain_prediction(model: OneStageDetector) -> None:
    image = noise(WIDTH, HEIGHT)
    plain = PlainInference(model, resize=AugmentationList([ResizeShortestEdge(96, 1333)]))
    augmented = AugmentedInference(model, scales=[(96, 1333)], flip=False)
    assert_identical(augmented([image])[0], plain([image])[0])


def test_views_are_joined_before_they_are_suppressed(model: OneStageDetector) -> None:
    # NMS at IoU 1 and no limit: what every view offers, of all sizes and mirrored.
    suppression = ClasswiseNMS(1.0)
    settings = InferenceSettings(0.0, sys.maxsize, suppression)
    scales = [(96, 1333), (128, 1333)]
    augmented = AugmentedInference(model, scales=scales, flip=True, settings=settings)
    (found,) = augmented([noise(WIDTH, HEIGHT)])
    # 139 x 96 and 185 x 128 pixels, twice each.
    wanted = 2 * (5 * 3 + 6 * 4) * 5 * NUM_CLASSES
    # Boxes that an image's edge has cut to the same one, or to nothing, go.
    assert 0.5 * wanted < len(found) <= wanted


def test_soft_nms_is_the_naive_loop(model: OneStageDetector) -> None:
    image = noise(WIDTH, HEIGHT)
    _, scores, _ = candidates(model, image)
    score_thresh = scores.sort(descending=True)[0][80].item()
    settings = model.inference_settings._replace(score_thresh=score_thresh)
    options = {"method": "linear", "iou_thresh": 0.3, "sigma": 0.5, "min_score": 1e-3}
    soft = settings._replace(suppression=SoftNMS(**options))
    offered = candidates(model, image, score_thresh)
    (found,) = run_model(model, [{"image": as_tensor(image)}], soft)
    wanted = naive_soft_nms(*offered, **options)
    assert 40 < len(wanted) <= len(offered[0]) == 80
    assert wanted != [(i, float(score)) for i, score in enumerate(offered[1])]
    index = torch.tensor([index for index, _ in wanted])
    torch.testing.assert_close(found.pred_boxes.tensor, offered[0][index], rtol=0, atol=0)
    expected = torch.tensor([score for _, score in wanted])
    torch.testing.assert_close(found.scores, expected, rtol=1e-4, atol=1e-6)


def test_one_tile_is_the_plain_prediction(model: OneStageDetector) -> None:
    image = noise(WIDTH, HEIGHT)
    plain = PlainInference(model, resize=AugmentationList([]))
    assert_identical(TiledInference(plain, tile=WIDTH)([image])[0], plain([image])[0])


def test_tiles_find_something_everywhere(model: OneStageDetector) -> None:
    plain = PlainInference(model, resize=AugmentationList([]))
    (found,) = TiledInference(plain, tile=100)([noise(WIDTH, HEIGHT)])
    boxes = found.pred_boxes.tensor
    assert found.image_size == (HEIGHT, WIDTH)
    assert (boxes >= 0).all() and (boxes <= torch.tensor([WIDTH, HEIGHT] * 2)).all()
    assert len(found) > 0
