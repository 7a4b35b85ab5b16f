"""Tests of vfnet_d2.inference.plain."""

import numpy as np
import torch
from detectron2.data.transforms import AugmentationList, ResizeShortestEdge
from PIL import Image

from tests.helpers.predicting import assert_identical, noise
from tests.helpers.quick_model import quick_model
from vfnet_d2.inference.plain import PlainInference, as_tensor


def test_is_the_model_on_images_resized_by_hand() -> None:
    model = quick_model().eval()
    image = noise(240, 160)
    resized = np.asarray(Image.fromarray(image).resize((144, 96), Image.Resampling.BILINEAR))
    with torch.no_grad():
        (expected,) = model([{"image": as_tensor(resized), "height": 160, "width": 240}])
    (found,) = PlainInference(model, resize=AugmentationList([ResizeShortestEdge(96)]))([image])
    assert_identical(found, expected["instances"])


def test_channels_come_first() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert as_tensor(image)[1, 0].tolist() == [1, 4, 7, 10]
