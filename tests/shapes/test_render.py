"""Tests of vfnet_d2.shapes.render."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vfnet_d2.shapes.render import (
    Array,
    Stream,
    _enlarge,
    crop_layer,
    draw_shape,
    extent,
    make_texture,
    place_polygon,
    visible_after,
)

# Area over the square of the box's longer side, all at angle 0: pi / 4; a square on its corner,
# 1 / 2; an equilateral triangle, sqrt(3) / 4; ten triangles of sides 1 and .45 and angle 36 deg,
# over the width 2 sin 72; two bars of 2 x .68 less their common square, over 2 x 2.
AREAS = {
    "circle": math.pi / 4,
    "square": 1 / 2,
    "triangle": math.sqrt(3) / 4,
    "star": 5 * 0.45 * math.sin(math.radians(36)) / (2 * math.sin(math.radians(72))) ** 2,
    "cross": (2 * 2 * 0.68 - 0.68**2) / 4,
}


def test_stream_is_numpys_generator() -> None:
    stream, generator = Stream(5, 9), np.random.Generator(np.random.PCG64([5, 9]))
    ours = [stream.uniform(), *stream.array((2, 3)).ravel(), stream.uniform()]
    assert ours == list(generator.random(8))


def test_stream_integers_are_equally_likely() -> None:
    stream = Stream(0, 0)
    counts = np.bincount([stream.integer(5) for _ in range(5000)])
    # 1000 expected of each, standard deviation 28.
    assert counts.tolist() == pytest.approx([1000] * 5, abs=110)


def test_stream_normal_has_mean_0_and_deviation_1() -> None:
    stream = Stream(0, 0)
    numbers = np.array([stream.normal() for _ in range(5000)])
    assert (numbers.mean(), numbers.std()) == pytest.approx((0.0, 1.0), abs=0.05)


def test_stream_poisson_has_its_mean_as_mean_and_variance() -> None:
    stream = Stream(0, 0)
    numbers = np.array([stream.poisson(4.0) for _ in range(5000)])
    assert (numbers.mean(), numbers.var()) == pytest.approx((4.0, 4.0), abs=0.3)


def test_enlargement_is_numpys_interpolation() -> None:
    grid = Stream(0, 0).array((4, 4, 2), -1.0, 1.0)
    # The corners of 3 cells, at 0, 1, 2 and 3; the centres of 7 pixels among them.
    at = (np.arange(7) + 0.5) * 3 / 7
    expected = np.zeros((7, 7, 2))
    for channel in range(2):
        rows = [np.interp(at, range(4), row) for row in grid[:, :, channel]]
        columns = [np.interp(at, range(4), column) for column in np.transpose(rows)]
        expected[:, :, channel] = np.transpose(columns)
    assert _enlarge(grid.astype(np.float32), 7) == pytest.approx(expected, abs=1e-6)


def test_texture_grows_with_its_amplitude() -> None:
    single, triple = (make_texture(Stream(0, 0), 40, amplitude) for amplitude in (1.0, 3.0))
    assert triple == pytest.approx(3.0 * single, abs=1e-5)


@pytest.mark.parametrize("name", AREAS)
def test_filled_shape_has_its_area(name: str) -> None:
    layer = draw_shape(
        name, side=100.0, angle=0.0, center=(80.3, 79.6), stroke=None, image_size=160
    )
    assert layer.alpha.sum() == pytest.approx(AREAS[name] * 100**2, rel=0.005)


def test_outline_is_drawn_inwards() -> None:
    layer = draw_shape(
        "circle", side=100.0, angle=0.0, center=(80.3, 79.6), stroke=8.0, image_size=160
    )
    assert layer.alpha.sum() == pytest.approx(math.pi * (50**2 - 42**2), rel=0.005)


@pytest.mark.parametrize("name", ["square", "triangle", "star", "cross"])
@pytest.mark.parametrize("angle", [0.3, 1.9, 4.0])
def test_polygon_is_that_of_pillow(name: str, angle: float) -> None:
    center, factor = (24.4, 25.7), 16
    layer = draw_shape(name, side=40.0, angle=angle, center=center, stroke=None, image_size=50)
    canvas = np.zeros((50, 50))
    canvas[layer.window] = layer.alpha
    fine = Image.new("L", (50 * factor, 50 * factor))
    corners = place_polygon(name, 40.0, angle, center)
    ImageDraw.Draw(fine).polygon([(x * factor, y * factor) for x, y in corners], fill=1)
    oracle = np.asarray(fine).reshape(50, factor, 50, factor).mean(axis=(1, 3))
    # A distance is not quite a coverage: 0.09 off at a diagonal edge, more at a corner.
    assert np.abs(canvas - oracle).max() < 0.4
    assert np.abs(canvas - oracle).mean() < 0.01


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("stroke", [None, 2.0])
def test_extent_is_that_of_the_corners(name: str, stroke: float | None) -> None:
    stream = Stream(3, 0)
    for _ in range(40):
        side, angle = stream.uniform(6.0, 60.0), stream.uniform(0.0, 7.0)
        center = (50 + stream.uniform(), 50 + stream.uniform())
        layer = draw_shape(
            name, side=side, angle=angle, center=center, stroke=stroke, image_size=100
        )
        box = extent(layer.visible)
        assert box is not None
        found = np.add(box, (layer.left, layer.top, layer.left, layer.top))
        if name == "circle":
            expected, tolerance = np.add((center * 2), np.repeat((-side / 2, side / 2), 2)), 0.05
        else:
            corners = np.array(place_polygon(name, side, angle, center))
            expected, tolerance = np.concatenate([corners.min(0), corners.max(0)]), 1.1
        assert found == pytest.approx(expected, abs=tolerance)


def test_extent_by_hand() -> None:
    # The first pixel that is seen is number 2, full, with a quarter covered before it: 2 - 0.25.
    # The last is number 4, half covered: 4 + 0.5. One row, full: from 0 to 1.
    assert extent(np.array([[0.0, 0.25, 1.0, 1.0, 0.5, 0.0]])) == (1.75, 0.0, 4.5, 1.0)


def test_extent_of_a_fringe_is_none() -> None:
    assert extent(np.full((3, 3), 0.2)) is None


def test_layer_counts_what_is_outside_as_painted() -> None:
    layer = crop_layer(np.ones((4, 6)), top=-1, left=7, image_size=10)
    assert (layer.window, layer.painted) == ((slice(0, 3), slice(7, 10)), 24.0)


def test_visible_after_by_hand() -> None:
    below = crop_layer(np.ones((3, 3)), top=1, left=1, image_size=10)
    above = crop_layer(np.full((3, 3), 0.75), top=3, left=2, image_size=10)
    # They share row 3 and columns 2 and 3 of the image.
    expected: Array = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.25, 0.25]])
    assert visible_after(below, above).tolist() == expected.tolist()


def test_visible_after_something_elsewhere_is_all() -> None:
    below = crop_layer(np.ones((3, 3)), top=1, left=1, image_size=10)
    above = crop_layer(np.ones((3, 3)), top=1, left=4, image_size=10)
    assert visible_after(below, above).tolist() == np.ones((3, 3)).tolist()
