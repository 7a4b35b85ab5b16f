"""Tests of vfnet_d2.shapes.scene."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from vfnet_d2.shapes.config import ShapesConfig
from vfnet_d2.shapes.render import Stream, extent
from vfnet_d2.shapes.scene import _arrange, render_image

CONFIG = ShapesConfig(num_images=300, seed=7)

Annotations = list[dict[str, Any]]


@pytest.fixture(scope="module")
def images() -> list[Annotations]:
    """The annotations of 300 images with the default arguments."""
    return [render_image(CONFIG, index)[1] for index in range(CONFIG.num_images)]


@pytest.fixture(scope="module")
def objects(images: list[Annotations]) -> Annotations:
    """About 1,150 objects, crowds left out."""
    return [item for items in images for item in items if not item["iscrowd"]]


def test_image_is_rgb_bytes() -> None:
    image, _ = render_image(CONFIG, 0)
    assert (image.shape, image.dtype) == ((160, 160, 3), np.uint8)


def test_image_is_the_same_again() -> None:
    (first, first_items), (second, second_items) = (render_image(CONFIG, 3) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first_items == second_items


@pytest.mark.parametrize("change", [{"seed": 8}, {"contrast": 0.3}, {"texture": 0.2}])
def test_image_depends_on_the_arguments(change: dict[str, Any]) -> None:
    other, _ = render_image(dataclasses.replace(CONFIG, **change), 3)
    assert other.tobytes() != render_image(CONFIG, 3)[0].tobytes()


def test_image_does_not_depend_on_the_number_of_images() -> None:
    other, _ = render_image(dataclasses.replace(CONFIG, num_images=4), 3)
    assert other.tobytes() == render_image(CONFIG, 3)[0].tobytes()


@pytest.mark.parametrize("index", [-1, 300])
def test_index_outside_the_dataset_is_named(index: int) -> None:
    with pytest.raises(IndexError, match=f"index={index} "):
        render_image(CONFIG, index)


def test_classes_are_equally_frequent(objects: Annotations) -> None:
    counts = np.bincount([item["category_id"] for item in objects], minlength=6)
    shares = counts[1:] / len(objects)
    # Standard deviation sqrt(.2 * .8 / 1150) = .012
    assert shares.tolist() == pytest.approx([0.2] * 5, abs=0.05)


def test_half_of_the_objects_are_filled(objects: Annotations) -> None:
    # Standard deviation sqrt(.5 * .5 / 1150) = .015
    assert np.mean([item["filled"] for item in objects]) == pytest.approx(0.5, abs=0.06)


def test_one_image_in_twenty_is_empty(images: list[Annotations]) -> None:
    # Standard deviation sqrt(.05 * .95 / 300) = .013
    assert np.mean([not items for items in images]) == pytest.approx(0.05, abs=0.04)


def test_some_images_hold_a_crowd(images: list[Annotations]) -> None:
    crowds = [sum(item["iscrowd"] for item in items) for items in images]
    assert max(crowds) == 1
    # Standard deviation sqrt(.03 * .97 / 300) = .010
    assert np.mean(crowds) == pytest.approx(0.03, abs=0.029)


def test_images_hold_four_objects(images: list[Annotations], objects: Annotations) -> None:
    filled = sum(bool(items) for items in images)
    # Standard deviation sqrt(4 / 285) = .12; a few objects find no place.
    assert len(objects) / filled == pytest.approx(4.0, abs=0.4)


def test_sides_have_their_median_and_range(objects: Annotations) -> None:
    sides = [max(item["bbox"][2:]) for item in objects]
    assert np.median(sides) == pytest.approx(28.0, abs=3.0)
    assert min(sides) < 8.0
    assert 120.0 < max(sides) <= 151.0


def test_boxes_are_inside_the_image(images: list[Annotations]) -> None:
    boxes = np.array([item["bbox"] for items in images for item in items])
    assert boxes[:, :2].min() >= 0.0
    assert (boxes[:, :2] + boxes[:, 2:]).max() <= 160.0
    assert boxes[:, 2:].min() >= 3.0


def test_area_is_that_of_the_box(objects: Annotations) -> None:
    found = [item["area"] for item in objects]
    assert found == pytest.approx([item["bbox"][2] * item["bbox"][3] for item in objects], abs=0.01)


def test_no_object_is_hidden_too_much() -> None:
    hidden = []
    for index in range(60):
        _, items = render_image(CONFIG, index)
        for item, part, box in zip(items, *_visible_parts(index), strict=True):
            assert part >= 0.5
            assert item["bbox"] == pytest.approx(box, abs=0.011)
            hidden.append(1.0 - part)
    assert max(hidden) > 0.3  # or nothing was occluded and the test has seen nothing


def _visible_parts(index: int) -> tuple[list[float], list[list[float]]]:
    """Of each object the visible part of its paint, and its box: whole images, no windows."""
    stream = Stream(CONFIG.seed, index)
    # What render_image draws before it arranges the objects.
    stream.uniform()
    stream.array((3,))
    for _ in range(2):
        for cell in (160, 48, 20, 9, 4):
            cells = round(160 / cell)
            stream.array((cells + 1, cells + 1, 4))
            stream.uniform()
    layers = [item.layer for item in _arrange(stream, CONFIG)]
    full = np.zeros((len(layers), 160, 160))
    for canvas, layer in zip(full, layers, strict=True):
        canvas[layer.window] = layer.alpha
    parts, boxes = [], []
    for i, layer in enumerate(layers):
        seen = full[i] * np.prod(1.0 - full[i + 1 :], axis=0)
        parts.append(seen.sum() / layer.painted)
        box = extent(seen)
        assert box is not None
        boxes.append([box[0], box[1], box[2] - box[0], box[3] - box[1]])
    return parts, boxes


def test_box_is_the_extent_of_what_changed() -> None:
    config = ShapesConfig(
        num_images=60,
        seed=11,
        objects_per_image=0.1,  # never more than one
        empty_fraction=0.0,
        crowd_fraction=0.0,
        max_side=70.0,
        contrast=1.0,
        texture=0.0,
    )
    for index in range(config.num_images):
        image, (item,) = render_image(config, index)
        ground = np.median(image.reshape(-1, 3), axis=0)
        difference = np.abs(image - ground).max(axis=2)
        ys, xs = np.nonzero(difference > 0.3 * difference.max())
        x, y, width, height = item["bbox"]
        expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert (x, y, x + width, y + height) == pytest.approx(expected, abs=1.0)


def test_texture_and_contrast_are_what_they_say() -> None:
    plain = ShapesConfig(num_images=1, seed=0, empty_fraction=1.0, crowd_fraction=0.0, texture=0.0)
    rough = dataclasses.replace(plain, texture=0.15)
    # Noise: 7 * (u + u - 1) has the deviation 7 / sqrt(6) = 2.9.
    assert render_image(plain, 0)[0].std(axis=(0, 1)) == pytest.approx([2.9] * 3, abs=0.1)
    assert render_image(rough, 0)[0].std(axis=(0, 1)).min() > 8.0
