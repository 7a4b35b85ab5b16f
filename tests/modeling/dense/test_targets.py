"""Tests of vfnet_d2.modeling.dense.targets."""

from typing import Any

import pytest
import torch
from detectron2.structures import Boxes, Instances

from tests.helpers.assignments import labelled
from vfnet_d2.modeling.dense.targets import (
    centerness,
    check_targets,
    count_at_least_one_an_image,
    count_positives,
    matched_targets,
)

GOOD = [10.0, 20.0, 60.0, 50.0]


def item(*boxes: list[float], classes: list[int] | None = None, **about: Any) -> dict[str, Any]:
    """An image of 100 x 80 pixels with these boxes."""
    instances = Instances((80, 100))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes or [0] * len(boxes), dtype=torch.long)
    return {"image": torch.zeros(3, 80, 100), "instances": instances, **about}


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [GOOD],
        [GOOD, [0.0, 0.0, 100.0, 80.0]],
        [[-0.9, -0.9, 100.9, 80.9]],  # what rounding in a resize may do
    ],
)
def test_good_boxes_pass(boxes: list[list[float]]) -> None:
    check_targets([item(*boxes)], num_classes=3)


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([float("nan"), 20, 60, 50], "is not finite"),
        ([10, 20, float("inf"), 50], "is not finite"),
        ([10, 20, 10, 50], "has no area"),
        ([10, 50, 60, 50], "has no area"),
        ([60, 20, 10, 50], "has no area"),
        ([-2, 20, 60, 50], "leaves the image of 100 x 80 pixels"),
        ([10, -2, 60, 50], "leaves the image of 100 x 80 pixels"),
        ([10, 20, 102, 50], "leaves the image of 100 x 80 pixels"),
        ([10, 20, 60, 82], "leaves the image of 100 x 80 pixels"),
    ],
)
def test_a_bad_box_is_named_with_its_image_and_a_remedy(box: list[float], problem: str) -> None:
    bad = item(GOOD, box, file_name="photos/7.jpg")
    with pytest.raises(ValueError) as caught:
        check_targets([item(GOOD), bad], num_classes=3)
    message = str(caught.value)
    assert message.startswith("image photos/7.jpg: ground-truth box 1 (x1, y1, x2, y2) = [")
    assert problem in message
    assert "correct or remove it in the annotations" in message


@pytest.mark.parametrize("category", [-1, 3, 90])
def test_a_bad_class_is_named_with_its_image_and_a_remedy(category: int) -> None:
    bad = item(GOOD, GOOD, classes=[2, category], file_name="7.jpg")
    with pytest.raises(ValueError) as caught:
        check_targets([bad], num_classes=3)
    assert str(caught.value) == (
        f"image 7.jpg: ground-truth box 1 has class {category}, but the model has the classes "
        "0 to 2; set the number of classes to the dataset's"
    )


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"file_name": "7.jpg", "image_id": 5}, "image 7.jpg:"),
        ({"image_id": 5}, "image 5:"),
        ({"image_id": 0}, "image 0:"),
        ({}, "image number 1 of the batch:"),
    ],
)
def test_an_image_goes_by_the_best_name_it_has(about: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}"):
        check_targets([item(GOOD), item([1, 1, 1, 1], **about)], num_classes=3)


def test_missing_instances_are_explained() -> None:
    with pytest.raises(ValueError, match=r"image 7.jpg: training needs 'instances'.*is_train=True"):
        check_targets([{"image": torch.zeros(3, 8, 8), "file_name": "7.jpg"}], num_classes=3)


def test_every_coordinate_of_the_bad_box_is_shown() -> None:
    with pytest.raises(ValueError, match=r"\[10\.25, 20\.0, 10\.25, 50\.0\]"):
        check_targets([item([10.25, 20.0, 10.25, 50.0])], num_classes=3)


def test_matched_boxes_and_classes_are_looked_up_in_their_own_image() -> None:
    boxes = [[float(i), 0.0, i + 8.0, 8.0] for i in range(4)]
    images = [
        item(*boxes[:3], classes=[5, 6, 7])["instances"],
        item()["instances"],
        item(boxes[3], classes=[8])["instances"],
    ]
    found, classes = matched_targets(
        images, gt_idxs=torch.tensor([2, 0, 0]), image=torch.tensor([0, 0, 2])
    )
    assert found.tolist() == [boxes[2], boxes[0], boxes[3]]
    assert classes.tolist() == [7, 5, 8]


def test_no_match_finds_nothing() -> None:
    none = torch.zeros(0, dtype=torch.long)
    found, classes = matched_targets([item()["instances"]] * 2, none, none)
    assert found.shape == (0, 4) and classes.shape == (0,)


def test_centerness_by_hand() -> None:
    # the centre (30, 20) in the box (20, 0, 80, 40): left 10, right 50, above 20, below 20
    anchors = torch.tensor([[22.0, 12.0, 38.0, 28.0]])
    boxes = torch.tensor([[20.0, 0.0, 80.0, 40.0]])
    assert centerness(anchors, boxes).item() == pytest.approx((10 / 50 * 20 / 20) ** 0.5)


def test_positives_are_counted_over_the_batch_or_one_at_least_an_image() -> None:
    labels = torch.tensor([[1, 1, 0], [0, -1, 0], [-1, 1, 1]])
    assert count_positives(labelled(labels)).item() == 4
    assert count_at_least_one_an_image(labelled(labels)).item() == 2 + 1 + 2
