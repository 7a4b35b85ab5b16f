"""Tests of vfnet_d2.inference.tta."""

import copy

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

from tests.helpers.float64 import in_float64
from tests.helpers.predicting import assert_identical, noise
from tests.helpers.quick_model import quick_model
from vfnet_d2.inference.plain import PlainInference, as_tensor
from vfnet_d2.inference.tta import AugmentedInference, default_scales, move, without_suppression
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.suppression import ClasswiseNMS

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


def candidates_by_hand(
    model: OneStageDetector, image: np.ndarray, short: int, *, flip: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in the image's pixels, of the image resized and mirrored without Detectron2."""
    width = int(WIDTH * short / HEIGHT + 0.5)
    view = np.asarray(Image.fromarray(image).resize((width, short), Image.Resampling.BILINEAR))
    view = view[:, ::-1] if flip else view
    with torch.no_grad():
        found = without_suppression(model)([{"image": as_tensor(view)}])[0]["instances"]
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


def test_the_model_itself_keeps_suppressing(model: OneStageDetector) -> None:
    before = (model.suppression, model.max_detections_per_image)
    copied = without_suppression(model)
    assert (model.suppression, model.max_detections_per_image) == before
    inputs = [{"image": as_tensor(noise(160, 160))}]
    with torch.no_grad():
        few, many = (len(x(inputs)[0]["instances"]) for x in (model, copied))
    assert few < many


def test_all_candidates_come_out(model: OneStageDetector) -> None:
    everything = copy.deepcopy(model)
    everything.suppression = ClasswiseNMS(1.0)  # no overlap is larger
    everything.max_detections_per_image = 10**6
    inputs = [{"image": as_tensor(noise(160, 160))}]
    with torch.no_grad():
        results = [x(inputs)[0]["instances"] for x in (without_suppression(model), everything)]
    found, expected = (sorted(result.scores.tolist()) for result in results)
    assert found == expected


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
