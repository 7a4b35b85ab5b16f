"""Drawing for the synthetic shapes dataset: random stream, textures, signed distances, layers.

Two machines must draw the same pixels, whatever versions of numpy and Pillow they have. Therefore
every random number comes from the raw bits of PCG64, which numpy's compatibility policy freezes
(it does not freeze the methods of ``numpy.random.Generator``), and what becomes a pixel only goes
through elementwise arithmetic, whose results IEEE 754 defines, never through BLAS or an image
library.

Coordinates are pixels: x to the right, y down, the centre of the first pixel at (0.5, 0.5).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Edge length, in pixels, of the cells of each random grid of a texture, and the grid's weight.
_TEXTURE_GRIDS = ((160.0, 0.55), (48.0, 0.55), (20.0, 0.45), (9.0, 0.4), (4.0, 0.35))

# The coverage from which a pixel belongs to what is seen of an object. Less would keep the fringe
# that an object shows along the edge of one that hides it, more would cut the points of stars.
_SEEN = 0.3


class Stream:
    """The random numbers of one image, independent of those of any other (seed, index)."""

    def __init__(self, seed: int, index: int) -> None:
        self._bits = np.random.PCG64([seed, index])

    def array(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
        """Uniform numbers in [low, high) of the given shape."""
        raw = np.asarray(self._bits.random_raw(shape), dtype=np.uint64)
        numbers: Array = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * numbers

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One uniform number in [low, high)."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, count: int) -> int:
        """One of 0 .. count - 1, equally likely."""
        return min(int(count * self.uniform()), count - 1)

    def normal(self) -> float:
        """One standard normal number (Box-Muller)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def poisson(self, mean: float) -> int:
        """One Poisson number (multiplication of uniforms; meant for means below about 100)."""
        limit, product, count = math.exp(-mean), self.uniform(), 0
        while product > limit:
            product *= self.uniform()
            count += 1
        return count


@dataclass
class Layer:
    """What one object (or one crowd) paints.

    Attributes:
        top, left: position of ``alpha`` in the image, in pixels.
        alpha: (h, w), the covered part of each pixel, in [0, 1]; cropped to the image.
        visible: (h, w), ``alpha`` without what later layers hide.
        painted: sum of the coverage before cropping, in pixels.
    """

    top: int
    left: int
    alpha: Array
    visible: Array
    painted: float

    @property
    def window(self) -> tuple[slice, slice]:
        """The image's rows and columns that ``alpha`` covers."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def make_texture(stream: Stream, size: int, amplitude: float) -> Array:
    """A zero-centred texture (size, size, 3): bumps of several sizes, faintly coloured."""
    # Single precision: most of the time of a dataset goes into its textures.
    total = np.zeros((size, size, 3), dtype=np.float32)
    for cell, weight in _TEXTURE_GRIDS:
        cells = max(1, round(size / cell))
        grey = stream.array((cells + 1, cells + 1, 1), -1.0, 1.0)
        tint = stream.array((cells + 1, cells + 1, 3), -0.4, 0.4)
        total += (
            weight * stream.uniform(0.3, 1.0) * _enlarge((grey + tint).astype(np.float32), size)
        )
    return (amplitude * total).astype(np.float64)


def _enlarge(grid: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Bilinear enlargement of (cells + 1, cells + 1, C) corner values to (size, size, C)."""
    cells = grid.shape[0] - 1
    position = (np.arange(size) + 0.5) * cells / size
    low = np.minimum(position.astype(np.int64), cells - 1)
    part = (position - low).astype(np.float32)
    # Columns first, then whole rows: three times as fast as the other way round.
    columns = part[None, :, None]
    wide = (grid[:, low] * (1.0 - columns) + grid[:, low + 1] * columns).reshape(cells + 1, -1)
    rows = part[:, None]
    tall: NDArray[np.float32] = wide[low] * (1.0 - rows) + wide[low + 1] * rows
    return tall.reshape(size, size, -1)


def unit_polygon(name: str) -> list[tuple[float, float]]:
    """Corners of a polygonal class in any scale, in order around the centre."""
    if name == "cross":
        a, b = 0.34, 1.0
        quarter = [(a, -b), (a, -a), (b, -a)]
        return [p for k in range(4) for p in (_turn(q, k * math.pi / 2) for q in quarter)]
    corners = {"triangle": 3, "square": 4, "star": 10}[name]
    radii = [0.45 if name == "star" and k % 2 else 1.0 for k in range(corners)]
    return [_turn((0.0, -r), 2 * math.pi * k / corners) for k, r in enumerate(radii)]


def _turn(point: tuple[float, float], angle: float) -> tuple[float, float]:
    cos, sin = math.cos(angle), math.sin(angle)
    return point[0] * cos - point[1] * sin, point[0] * sin + point[1] * cos


def place_polygon(
    name: str, side: float, angle: float, center: tuple[float, float]
) -> list[tuple[float, float]]:
    """Corners of a class turned by ``angle`` radians.

    The longer side of their box is ``side`` pixels, the box's centre ``center`` (x, y).
    """
    corners = [_turn(p, angle) for p in unit_polygon(name)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    scale = side / max(max(xs) - min(xs), max(ys) - min(ys))
    mid_x, mid_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    # Rounded so that a last-bit difference between two C libraries' sines cannot reach a pixel.
    return [
        (round(center[0] + scale * (x - mid_x), 4), round(center[1] + scale * (y - mid_y), 4))
        for x, y in corners
    ]


def circle_distance(x: Array, y: Array, center: tuple[float, float], radius: float) -> Array:
    """Signed distance to a circle, negative inside; x (1, w) and y (h, 1) give (h, w)."""
    distance: Array = np.sqrt((x - center[0]) ** 2 + (y - center[1]) ** 2) - radius
    return distance


def polygon_distance(x: Array, y: Array, corners: list[tuple[float, float]]) -> Array:
    """Signed distance to a simple polygon, negative inside; x (1, w) and y (h, 1) give (h, w)."""
    squared = np.full((y.shape[0], x.shape[1]), np.inf)
    inside = np.zeros(squared.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        px, py = x - ax, y - ay
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        squared = np.minimum(squared, (px - along * ex) ** 2 + (py - along * ey) ** 2)
        if ey != 0.0:  # the even-odd rule: count the edges that a ray to the right meets
            inside ^= ((ay > y) != (by > y)) & (px < py * ex / ey)
    distance = np.sqrt(squared)
    signed: Array = np.where(inside, -distance, distance)
    return signed


def draw_shape(
    name: str,
    *,
    side: float,
    angle: float,
    center: tuple[float, float],
    stroke: float | None,
    image_size: int,
) -> Layer:
    """One shape as a layer of its own.

    Args:
        name: the class.
        side: longer side of the shape's box, in pixels.
        angle: rotation in radians.
        center: centre of the shape's box (x, y), in pixels.
        stroke: width of the outline in pixels, drawn inwards; None fills the shape.
        image_size: the layer is cropped to (image_size, image_size).
    """
    reach = side / 2 + 1.0
    left, right = math.floor(center[0] - reach), math.ceil(center[0] + reach)
    top, bottom = math.floor(center[1] - reach), math.ceil(center[1] + reach)
    x: Array = np.arange(left + 0.5, right, dtype=np.float64)[None, :]
    y: Array = np.arange(top + 0.5, bottom, dtype=np.float64)[:, None]
    if name == "circle":
        distance = circle_distance(x, y, center, side / 2)
    else:
        distance = polygon_distance(x, y, place_polygon(name, side, angle, center))
    if stroke is not None:
        distance = np.abs(distance + stroke / 2) - stroke / 2
    alpha = np.clip(0.5 - distance, 0.0, 1.0)  # the edge is one pixel wide
    return crop_layer(alpha, top=top, left=left, image_size=image_size)


def crop_layer(alpha: Array, *, top: int, left: int, image_size: int) -> Layer:
    """A layer of the part of ``alpha`` (h, w) at (left, top) that lies in the image."""
    rows = slice(max(0, -top), max(0, min(alpha.shape[0], image_size - top)))
    columns = slice(max(0, -left), max(0, min(alpha.shape[1], image_size - left)))
    inside = alpha[rows, columns]
    return Layer(max(0, top), max(0, left), inside, inside.copy(), float(alpha.sum()))


def visible_after(below: Layer, above: Layer) -> Array:
    """``below.visible`` once ``above`` is painted over it."""
    (y0, x0), (y1, x1) = (below.top, below.left), (above.top, above.left)
    (h0, w0), (h1, w1) = below.alpha.shape, above.alpha.shape
    top, bottom = max(y0, y1), min(y0 + h0, y1 + h1)
    left, right = max(x0, x1), min(x0 + w0, x1 + w1)
    visible = below.visible.copy()
    if top < bottom and left < right:
        over = above.alpha[top - y1 : bottom - y1, left - x1 : right - x1]
        visible[top - y0 : bottom - y0, left - x0 : right - x0] *= 1.0 - over
    return visible


def extent(alpha: Array) -> tuple[float, float, float, float] | None:
    """Box (left, top, right, bottom) of what ``alpha`` (h, w) paints, or None for nothing.

    The box is exact to a part of a pixel: it begins at the first column or row of which a pixel is
    covered enough to be seen, and the coverage there and just outside says where in the pixel.
    """
    spans = [_span(alpha.max(axis=axis, initial=0.0)) for axis in (0, 1)]
    if spans[0] is None or spans[1] is None:
        return None
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _span(coverage: Array) -> tuple[float, float] | None:
    solid = np.flatnonzero(coverage >= _SEEN)
    if solid.size == 0:
        return None
    padded = np.concatenate(([0.0], coverage, [0.0]))
    first, last = int(solid[0]), int(solid[-1])
    low = first + 1.0 - padded[first + 1] - padded[first]
    high = last + padded[last + 1] + padded[last + 2]
    return max(float(low), 0.0), min(float(high), float(len(coverage)))
