"""Scenes of the synthetic shapes dataset: what is in an image and what of it stays visible."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfnet_d2.shapes.config import SHAPES_CLASSES, ShapesConfig
from vfnet_d2.shapes.render import (
    Array,
    Layer,
    Stream,
    crop_layer,
    draw_shape,
    extent,
    make_texture,
    visible_after,
)

_SIDE_SPREAD = 0.65  # standard deviation of the logarithm of the sides
_PLACES_TRIED = 30
_COLORS_TRIED = 8
_SMALLEST_BOX = 3.0  # pixels; a visible part narrower than this is not worth a ground truth


@dataclass
class _Object:
    """One ground truth: a class index, how it is drawn and its layer."""

    label: int
    filled: bool
    crowd: bool
    layer: Layer


def render_image(
    config: ShapesConfig, index: int
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Draw image ``index`` of a dataset; depends on nothing but the arguments.

    Returns:
        The image, (S, S, 3) uint8 RGB, and its annotations: dictionaries with ``category_id``
        (1 .. 5 in the order of SHAPES_CLASSES), ``bbox`` (x, y, width, height of the visible part,
        in pixels), ``area`` (of the box), ``iscrowd`` and ``filled``.

    Raises:
        IndexError: if the dataset has no such image.
    """
    if not 0 <= index < config.num_images:
        raise IndexError(f"index={index} is outside 0 .. {config.num_images - 1} (num_images)")
    stream = Stream(config.seed, index)
    size, amplitude = config.image_size, 255.0 * config.texture
    base = stream.uniform(65.0, 190.0) + stream.array((3,), -25.0, 25.0)
    canvas = base + make_texture(stream, size, amplitude)
    surface = make_texture(stream, size, 0.6 * amplitude)  # of the objects, so that none is flat
    objects = _arrange(stream, config)
    for item in objects:
        _paint(stream, config, canvas, surface, item.layer)
    canvas += 7.0 * (stream.array(canvas.shape) + stream.array(canvas.shape) - 1.0)
    image = np.floor(np.clip(canvas, 0.0, 255.0) + 0.5).astype(np.uint8)
    return image, [_annotate(item) for item in objects]


def _arrange(stream: Stream, config: ShapesConfig) -> list[_Object]:
    """The objects of an image from the farthest to the nearest, each visible enough in the end."""
    kind = stream.uniform()
    if kind < config.empty_fraction:
        return []
    objects: list[_Object] = []
    if kind < config.empty_fraction + config.crowd_fraction:
        objects.append(_draw_crowd(stream, config))
    count = min(max(1, stream.poisson(config.objects_per_image)), int(3 * config.objects_per_image))
    sides = [_draw_side(stream, config) for _ in range(max(1, count))]
    # Mostly large to small, as a large object can hardly be put in front of small ones.
    sides.sort(key=lambda side: -side * stream.uniform(0.5, 2.0))
    for side in sides:
        _add_object(stream, config, objects, side)
    return objects


def _draw_side(stream: Stream, config: ShapesConfig) -> float:
    side = config.median_side * math.exp(_SIDE_SPREAD * stream.normal())
    return round(min(max(side, config.min_side), config.max_side), 2)


def _add_object(stream: Stream, config: ShapesConfig, objects: list[_Object], side: float) -> None:
    """Append an object at the first place tried that leaves every object visible enough, if any."""
    label = stream.integer(len(SHAPES_CLASSES))
    filled = stream.uniform() < 0.5
    thickness = max(1.6, round(side * stream.uniform(0.07, 0.13), 2))
    angle = stream.uniform(0.0, 2.0 * math.pi)
    attached = stream.uniform() < config.overlap
    for _ in range(_PLACES_TRIED):
        layer = draw_shape(
            SHAPES_CLASSES[label],
            side=side,
            angle=angle,
            center=_draw_center(stream, config, objects if attached else [], side),
            stroke=None if filled else thickness,
            image_size=config.image_size,
        )
        remains = [visible_after(item.layer, layer) for item in objects]
        kept = all(
            _is_visible(config, visible, item.layer.painted)
            for visible, item in zip(remains, objects, strict=True)
        )
        if kept and _is_visible(config, layer.visible, layer.painted):
            for visible, item in zip(remains, objects, strict=True):
                item.layer.visible = visible
            objects.append(_Object(label, filled, False, layer))
            return


def _is_visible(config: ShapesConfig, visible: Array, painted: float) -> bool:
    box = extent(visible)
    if box is None or min(box[2] - box[0], box[3] - box[1]) < _SMALLEST_BOX:
        return False
    return float(visible.sum()) >= (1.0 - config.max_hidden) * painted


def _draw_center(
    stream: Stream, config: ShapesConfig, neighbours: list[_Object], side: float
) -> tuple[float, float]:
    """A centre (x, y) anywhere or near a neighbour; a tenth of the side may leave the image."""
    low, high = 0.4 * side, config.image_size - 0.4 * side
    x, y = stream.uniform(low, high), stream.uniform(low, high)
    if neighbours:
        layer = neighbours[stream.integer(len(neighbours))].layer
        height, width = layer.alpha.shape
        x = layer.left + width / 2 + stream.uniform(-0.6, 0.6) * (width + side) / 2
        y = layer.top + height / 2 + stream.uniform(-0.6, 0.6) * (height + side) / 2
    return round(min(max(x, low), high), 2), round(min(max(y, low), high), 2)


def _draw_crowd(stream: Stream, config: ShapesConfig) -> _Object:
    """A cluster of small shapes of one class on a jittered grid, as one layer."""
    label, filled = stream.integer(len(SHAPES_CLASSES)), stream.uniform() < 0.5
    pitch = 2.0 * config.min_side
    most = max(2, int(0.8 * config.image_size / pitch))
    columns, rows = (min(3 + stream.integer(4), most) for _ in range(2))
    left = stream.uniform(0.0, max(0.0, config.image_size - columns * pitch))
    top = stream.uniform(0.0, max(0.0, config.image_size - rows * pitch))
    union = np.zeros((config.image_size, config.image_size))
    for cell in range(columns * rows):
        x = left + pitch * (cell % columns + 0.5 + stream.uniform(-0.2, 0.2))
        y = top + pitch * (cell // columns + 0.5 + stream.uniform(-0.2, 0.2))
        member = draw_shape(
            SHAPES_CLASSES[label],
            side=round(config.min_side * stream.uniform(1.2, 2.0), 2),
            angle=stream.uniform(0.0, 2.0 * math.pi),
            center=(round(x, 2), round(y, 2)),
            stroke=None if filled else 1.6,
            image_size=config.image_size,
        )
        if stream.uniform() < 0.85:
            union[member.window] = np.maximum(union[member.window], member.alpha)
    layer = crop_layer(union, top=0, left=0, image_size=config.image_size)
    return _Object(label, filled, True, layer)


def _paint(
    stream: Stream, config: ShapesConfig, canvas: Array, surface: Array, layer: Layer
) -> None:
    """Paint a layer on the canvas (S, S, 3) in a colour that differs from what is beneath it."""
    window, alpha = layer.window, layer.alpha[..., None]
    beneath = canvas[window][layer.alpha >= 0.5]
    mean = beneath.mean(axis=0)
    # A small object needs more contrast to be seen as well as a large one.
    contrast = config.contrast * (1.0 + 8.0 / max(layer.alpha.shape))
    best, best_score = mean, -1.0
    for _ in range(_COLORS_TRIED):
        direction = stream.array((3,), -0.7, 0.7) + (1.0 if stream.uniform() < 0.5 else -1.0)
        direction /= math.sqrt(float((direction**2).mean()))
        step = 255.0 * contrast * stream.uniform(0.5, 1.5)
        color = np.clip(mean + step * direction, 10.0, 245.0)
        gaps = np.sort(((beneath - color) ** 2).mean(axis=1))
        # Low for a colour that is lost on a part of what is beneath, e.g. that of a covered object.
        score = math.sqrt(float(gaps[len(gaps) // 6])) / step
        if score > best_score:
            best, best_score = color, score
        if score > 0.6:
            break
    canvas[window] = canvas[window] * (1.0 - alpha) + (best + surface[window]) * alpha


def _annotate(item: _Object) -> dict[str, Any]:
    box = extent(item.layer.visible)
    assert box is not None  # _is_visible saw to it
    left, top = round(item.layer.left + box[0], 2), round(item.layer.top + box[1], 2)
    right, bottom = round(item.layer.left + box[2], 2), round(item.layer.top + box[3], 2)
    width, height = round(right - left, 2), round(bottom - top, 2)
    return {
        "category_id": item.label + 1,
        "bbox": [left, top, width, height],
        "area": round(width * height, 2),
        "iscrowd": int(item.crowd),
        "filled": item.filled,
    }
