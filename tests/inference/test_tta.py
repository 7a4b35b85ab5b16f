"""Tests of vfnet_d2.inference.tta."""

import sys

import numpy as np
import pytest
import torch
from detectron2.data.transforms import (
    AugmentationList,
    RandomFlip,
    ResizeShortestEdge,
    ResizeTransform,
    TransformList,
)
from fvcore.transforms import HFlipTransform
from PIL import Image
from torch import Tensor

from tests.helpers.float64 import Float32Suppression, in_float64
from tests.helpers.predicting import assert_identical, noise
from tests.helpers.quick_model import quick_model
from vfnet_d2.inference.plain import PlainInference, as_tensor, run_model
from vfnet_d2.inference.tta import AugmentedInference, default_scales, move
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.detector import InferenceSettings
from vfnet_d2.modeling.suppression import ClasswiseNMS, KeepAll, SoftNMS

# Wider than high, and not of the network's proportions after rounding.
WIDTH, HEIGHT = 250, 173


@pytest.fixture(scope="module")
def model() -> OneStageDetector:
    """A model of random weights; leave it as it is."""
    built = quick_model().eval()
    assert isinstance(built, OneStageDetector)
    return built


def resize(short: int, longest: int = 1333) -> AugmentationList:
    return AugmentationList([ResizeShortestEdge(short, longest)])


def test_one_view_as_in_the_test_set_is_the_plain_prediction(model: OneStageDetector) -> None:
    images = [noise(WIDTH, HEIGHT, seed) for seed in (1, 2)]
    plain = PlainInference(model, resize=resize(96))
    augmented = AugmentedInference(model, scales=[(96, 1333)], flip=False)
    for image, found in zip(images, augmented(images), strict=True):
        assert_identical(found, plain([image])[0])


def everything(model: OneStageDetector) -> InferenceSettings:
    """NMS at IoU 1, above which no overlap is: every candidate stays, best first."""
    return model.inference_settings._replace(
        suppression=Float32Suppression(ClasswiseNMS(1.0)), max_detections=sys.maxsize
    )


def candidates_by_hand(
    model: OneStageDetector, image: np.ndarray, short: int, *, flip: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in the image's pixels, of the image resized and mirrored without Detectron2."""
    width = int(WIDTH * short / HEIGHT + 0.5)
    view = np.asarray(Image.fromarray(image).resize((width, short), Image.Resampling.BILINEAR))
    view = view[:, ::-1] if flip else view
    (found,) = run_model(model, [{"image": as_tensor(view)}], everything(model))
    x1, y1, x2, y2 = found.pred_boxes.tensor.unbind(1)
    if flip:
        x1, x2 = width - x2, width - x1
    scale = torch.tensor([WIDTH / width, HEIGHT / short] * 2)
    return torch.stack([x1, y1, x2, y2], dim=1) * scale, found.scores, found.pred_classes


@pytest.mark.parametrize("flip", [False, True])
def test_views_are_joined_before_they_are_suppressed(flip: bool) -> None:
    model = in_float64(quick_model().eval())
    image = noise(WIDTH, HEIGHT)
    views = [(short, mirror) for short in (96, 128) for mirror in ([False, True][: 1 + flip])]
    parts = [candidates_by_hand(model, image, short, flip=mirror) for short, mirror in views]
    boxes, scores, classes = (torch.cat(part) for part in zip(*parts, strict=True))
    keep, _ = model.suppression(boxes, scores, classes, limit=100)
    expected = boxes[keep[:100]]
    augmented = AugmentedInference(model, scales=[(96, 1333), (128, 1333)], flip=flip)
    (found,) = augmented([image])
    assert found.image_size == (HEIGHT, WIDTH)
    torch.testing.assert_close(found.pred_boxes.tensor, expected)
    torch.testing.assert_close(found.scores, scores[keep[:100]])
    assert found.pred_classes.tolist() == classes[keep[:100]].tolist()


def test_a_box_moves_by_way_of_the_image() -> None:
    # An image 100 x 50; the view is twice as large and mirrored: x 20..60 of 200 is 140..180, which
    # is 70..90 in the image and 105..135 in a view of 150 x 75.
    source = TransformList([ResizeTransform(50, 100, 100, 200), HFlipTransform(200)])
    target = TransformList([ResizeTransform(50, 100, 75, 150)])
    moved = move(torch.tensor([[20.0, 10, 60, 30]]), source, target)
    assert moved.tolist() == [[105, 7.5, 135, 22.5]]


def test_no_boxes_move() -> None:
    resized = TransformList([ResizeTransform(50, 100, 75, 150)])
    assert move(torch.zeros(0, 4), resized, resized).shape == (0, 4)


def test_the_settings_of_the_call_choose_among_all_views(model: OneStageDetector) -> None:
    image = noise(WIDTH, HEIGHT)
    soft = model.inference_settings._replace(
        suppression=SoftNMS(iou_thresh=0.6), max_detections=7, score_thresh=0.2
    )
    one, several = (
        AugmentedInference(model, scales=scales, flip=False, settings=soft)([image])[0]
        for scales in ([(96, 1333)], [(96, 1333), (128, 1333)])
    )
    assert_identical(one, PlainInference(model, resize=resize(96), settings=soft)([image])[0])
    assert len(one) == len(several) == 7
    assert not torch.equal(one.scores, several.scores)


def test_views_need_something_that_removes_duplicates(model: OneStageDetector) -> None:
    settings = model.inference_settings._replace(suppression=KeepAll())
    AugmentedInference(model, scales=[(96, 1333)], flip=False, settings=settings)
    with pytest.raises(ValueError, match="KeepAll, would leave all of them"):
        AugmentedInference(model, scales=[(96, 1333)], flip=True, settings=settings)


def test_the_published_sizes_at_the_published_test_size() -> None:
    published = [(800, 1200), (900, 1300), (1000, 1500), (1200, 1600)]
    assert default_scales(resize(800)) == published


def test_other_test_sizes_in_proportion() -> None:
    # 224 / 800 = 0.28
    assert default_scales(resize(224)) == [(224, 336), (252, 364), (280, 420), (336, 448)]


def test_without_a_test_size_the_sizes_must_be_given() -> None:
    with pytest.raises(ValueError, match="not resized by ResizeShortestEdge"):
        default_scales(AugmentationList([RandomFlip()]))


def test_at_least_one_view(model: OneStageDetector) -> None:
    with pytest.raises(ValueError, match="at least one size"):
        AugmentedInference(model, scales=[])
