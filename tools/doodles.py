"""Doodles of six things, as strokes of a pen; ``make_drawings.py`` puts them on pages."""

import math
import random
from collections.abc import Callable
from typing import NamedTuple

Point = tuple[float, float]


class Stroke(NamedTuple):
    """A line of the pen through points of the square from -1 to 1; y points down."""

    points: list[Point]
    filled: bool = False


def arc(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 1) -> list[Point]:
    """Part of an ellipse around (x, y); turns are counted from 0 to 1."""
    turns = [start + (end - start) * i / 24 for i in range(25)]
    return [(x + rx * math.cos(math.tau * t), y + ry * math.sin(math.tau * t)) for t in turns]


def polygon(*corners: Point) -> list[Point]:
    """The closed line through corners."""
    return [*corners, corners[0]]


def house(rng: random.Random) -> list[Stroke]:
    """Walls, a roof, a door and a window, at times a chimney."""
    side, eaves = rng.uniform(0.6, 0.85), rng.uniform(-0.3, 0.0)
    door = rng.uniform(-0.4, 0.1)
    strokes = [
        Stroke(polygon((-side, eaves), (side, eaves), (side, 1), (-side, 1)), True),
        Stroke(polygon((-1, eaves), (0, -1), (1, eaves)), True),
        Stroke([(door, 1), (door, 0.4), (door + 0.3, 0.4), (door + 0.3, 1)]),
        Stroke(polygon((0.3, 0.2), (0.6, 0.2), (0.6, 0.5), (0.3, 0.5))),
    ]
    if rng.random() < 0.5:
        strokes.append(Stroke([(0.4, -0.6), (0.4, -0.95), (0.65, -0.95), (0.65, -0.4)]))
    return strokes


def tree(rng: random.Random) -> list[Stroke]:
    """A trunk with a round crown, or a fir."""
    trunk = Stroke([(-0.14, 0.3), (-0.16, 1), (0.16, 1), (0.14, 0.3)])
    if rng.random() < 0.4:
        tops = ((-1, -0.3, 0.45), (-0.6, 0.05, 0.6), (-0.2, 0.45, 0.75))
        return [trunk, *(Stroke(polygon((-w, b), (0, a), (w, b)), True) for a, b, w in tops)]
    crown = [
        ((0.62 + 0.12 * math.cos(9 * a)) * math.cos(a), -0.35 + 0.65 * math.sin(a))
        for a in (math.tau * i / 60 for i in range(61))
    ]
    return [trunk, Stroke(crown, True)]


def sun(rng: random.Random) -> list[Stroke]:
    """A disc with rays, at times with a face."""
    radius, rays = rng.uniform(0.45, 0.6), rng.randint(7, 12)
    strokes = [Stroke(arc(0, 0, radius, radius), True)]
    for i in range(rays):
        x, y = math.cos(math.tau * i / rays), math.sin(math.tau * i / rays)
        inner, outer = radius + 0.12, rng.uniform(0.85, 1)
        strokes.append(Stroke([(inner * x, inner * y), (outer * x, outer * y)]))
    if rng.random() < 0.5:
        strokes += [Stroke(arc(x, -0.12, 0.04, 0.05)) for x in (-0.18, 0.18)]
        strokes.append(Stroke(arc(0, 0.05, 0.25, 0.2, 0.05, 0.45)))
    return strokes


def boat(rng: random.Random) -> list[Stroke]:
    """A hull, a mast and one or two sails."""
    strokes = [
        Stroke(polygon((-1, 0.45), (1, 0.45), (0.65, 1), (-0.6, 1)), True),
        Stroke([(0, 0.45), (0, -1)]),
        Stroke(polygon((0.08, -0.9), (0.8, 0.3), (0.08, 0.3)), True),
    ]
    if rng.random() < 0.6:
        strokes.append(Stroke(polygon((-0.08, -0.7), (-0.6, 0.3), (-0.08, 0.3))))
    return strokes


def fish(rng: random.Random) -> list[Stroke]:
    """A body with a tail, an eye and a mouth, at times with scales or a fin."""
    height = rng.uniform(0.35, 0.55)
    strokes = [
        Stroke(arc(-0.2, 0, 0.8, height), True),
        Stroke(polygon((0.5, 0), (1, -0.45), (1, 0.45)), True),
        Stroke(arc(-0.65, -0.12, 0.06, 0.06)),
        Stroke([(-0.98, 0.1), (-0.75, 0.15)]),
    ]
    if rng.random() < 0.5:
        strokes += [Stroke(arc(x, 0, 0.12, 0.2, -0.25, 0.25)) for x in (-0.35, -0.05, 0.2)]
    if rng.random() < 0.5:
        strokes.append(Stroke([(-0.3, -height), (0, -height - 0.3), (0.15, -height * 0.9)]))
    return strokes


def flower(rng: random.Random) -> list[Stroke]:
    """Petals around a centre, on a stem with a leaf."""
    count, bend = rng.randint(5, 8), rng.uniform(-0.2, 0.2)
    strokes = [Stroke([(0, -0.3), (bend, 0.4), (0, 1)])]
    for i in range(count):
        x, y = math.cos(math.tau * i / count), math.sin(math.tau * i / count)
        strokes.append(Stroke(arc(0.42 * x, 0.42 * y - 0.4, 0.2, 0.2), True))
    strokes.append(Stroke(arc(0, -0.4, 0.2, 0.2)))
    strokes.append(Stroke([(bend, 0.5), (0.35, 0.25), (0.5, 0.35), (bend, 0.6)]))
    return strokes


DOODLES: dict[str, Callable[[random.Random], list[Stroke]]] = {
    kind.__name__: kind for kind in (house, tree, sun, boat, fish, flower)
}
