"""Tests of vfnet_d2.training.hooks.pictures."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances
from torch import nn

from tests.helpers.finetuning import register_training_data, training_config
from vfnet_d2.data.loading import load_dataset
from vfnet_d2.finetune.data import VAL_NAME
from vfnet_d2.training.hooks.pictures import ValidationPictures, WatchedLoader, draw_batch

METADATA = Metadata(name="picture", thing_classes=["cat", "dog"])


def model_input(boxes: list[list[float]], side: int = 640) -> dict[str, Any]:
    """A grey-blue image, as large as it is drawn."""
    instances = Instances((side, side))
    instances.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    instances.gt_classes = torch.ones(len(boxes), dtype=torch.long)
    image = torch.full((3, side, side), 60, dtype=torch.uint8)
    image[2] = 200
    return {"image": image, "instances": instances}


def test_an_image_without_boxes_is_drawn_as_it_is() -> None:
    item = model_input([])
    picture = draw_batch([item], metadata=METADATA, input_format="RGB")
    assert np.array_equal(picture, item["image"].permute(1, 2, 0).numpy())


def test_bgr_is_shown_in_its_true_colours() -> None:
    picture = draw_batch([model_input([])], metadata=METADATA, input_format="BGR")
    assert picture[0, 0].tolist() == [200, 60, 60]


def test_boxes_are_drawn_where_they_are() -> None:
    picture = draw_batch(
        [model_input([[200, 300, 500, 600]])], metadata=METADATA, input_format="RGB"
    )
    changed = (picture != np.array([60, 60, 200])).any(axis=2)
    assert changed[450, 200] and changed[450, 500] and changed[600, 350]
    assert not changed[450, 350] and not changed[100, 100] and not changed[620, 600]


def test_boxes_of_a_class_have_its_colour() -> None:
    picture = draw_batch(
        [model_input([[50, 300, 250, 600], [350, 300, 600, 600]])],
        metadata=METADATA,
        input_format="RGB",
    )
    # Both are dogs, the second class: (255, 127, 14) of matplotlib's tab10.
    for left in (50, 350):
        assert picture[450, left].tolist() == [255, 127, 14], left


def test_a_batch_is_laid_out_in_rows_of_four() -> None:
    batch = [model_input([], side=320)] * 5
    picture = draw_batch(batch, metadata=METADATA, input_format="RGB")
    # Twice as large: 4 x 640 and three margins of 6 wide, 2 x 640 and a margin high.
    assert picture.shape == (2 * 640 + 6, 4 * 640 + 3 * 6, 3)


def test_drawing_takes_no_random_numbers() -> None:
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    draw_batch([model_input([[20, 20, 80, 80]])], metadata=METADATA, input_format="RGB")
    assert np.random.rand() == expected


def test_the_first_batch_is_shown_and_all_are_passed_on() -> None:
    shown: list[Any] = []
    loader = WatchedLoader([[{"n": 1}], [{"n": 2}]], shown.append)
    assert list(loader) == [[{"n": 1}], [{"n": 2}]]
    assert shown == [[{"n": 1}]]


class Finder(nn.Module):
    """Detects one object in the left upper quarter of each image."""

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detect, in evaluation mode only."""
        assert not self.training
        item = batch[0]
        size = (item["height"], item["width"])
        found = Instances(size)
        found.pred_boxes = Boxes(torch.tensor([[5.0, 5.0, size[1] / 2, size[0] / 2]]))
        found.scores, found.pred_classes = torch.tensor([0.9]), torch.tensor([0])
        return [{"instances": found}]


@pytest.fixture
def pictures(tmp_path: Any) -> ValidationPictures:
    register_training_data(tmp_path)
    items = load_dataset(VAL_NAME, filter_empty=False)
    return ValidationPictures(training_config(tmp_path), dataset=VAL_NAME, items=items, count=2)


def test_some_validation_images_are_drawn_with_what_is_found(
    pictures: ValidationPictures,
) -> None:
    model = Finder().train()
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    drawn = pictures.draw(model)
    # Truth beside predictions: twice 2 x 96 and a margin wide, a caption of 24 above.
    assert [picture.shape for picture in drawn] == [(2 * 96 + 24, 2 * 2 * 96 + 6, 3)] * 2
    assert model.training
    assert np.random.rand() == expected
