"""Draw a small dataset of doodles in YOLO format, to try the ``vfnet`` commands on.

    python tools/make_drawings.py drawings
    vfnet data check drawings --pictures pictures

Houses, trees, suns, boats, fish and flowers as a child might draw them: wobbly strokes on different
papers, of all sizes, turned, sometimes over each other, with scribbles between them that are
nothing. The same seed gives the same drawings.
"""

import argparse
import itertools
import math
import os
import random
import sys
from pathlib import Path

from doodles import DOODLES, Point, Stroke
from PIL import Image, ImageDraw

Color = tuple[int, ...]
Box = tuple[float, float, float, float]  # x1, y1, x2, y2

ZOOM = 3  # drawn this much larger, then reduced: PIL's lines have no smooth edges
PAPERS = ((252, 250, 244), (245, 240, 222), (226, 205, 170), (233, 240, 245), (247, 228, 232))
PENS = ((32, 34, 40), (28, 62, 140), (176, 36, 44), (30, 110, 62), (120, 62, 24), (96, 44, 130))
CRAYONS = ((240, 196, 60), (232, 120, 70), (110, 170, 220), (130, 190, 110), (200, 140, 200))


def by_hand(points: list[Point], rng: random.Random, *, shake: float) -> list[Point]:
    """A line as an unsteady hand draws it: dense points, shifted by slow waves."""
    waves = [(rng.uniform(0.5, 3), rng.random(), rng.gauss(0, shake)) for _ in range(6)]
    shifted = []
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        pieces = max(int(math.hypot(x2 - x1, y2 - y1) / 0.05), 1)
        shifted += [
            (x1 + (x2 - x1) * i / pieces, y1 + (y2 - y1) * i / pieces) for i in range(pieces)
        ]
    shifted.append(points[-1])
    result = []
    for i, (x, y) in enumerate(shifted):
        bends = [size * math.sin(math.tau * (i / 30 * pace + at)) for pace, at, size in waves]
        result.append((x + sum(bends[:3]), y + sum(bends[3:])))
    return result


def place(strokes: list[Stroke], rng: random.Random, *, size: float, at: Point) -> list[Stroke]:
    """Doodle strokes in pixels of the page: shaken, stretched, turned, mirrored and moved."""
    angle, stretch = rng.gauss(0, 0.2), rng.uniform(0.85, 1.15)
    width = size / 2 * stretch * rng.choice((-1, 1))
    height, cos, sin = size / 2 / stretch, math.cos(angle), math.sin(angle)
    placed = []
    for stroke in strokes:
        line = [(x * width, y * height) for x, y in by_hand(stroke.points, rng, shake=0.022)]
        turned = [(at[0] + x * cos - y * sin, at[1] + x * sin + y * cos) for x, y in line]
        placed.append(Stroke(turned, stroke.filled))
    return placed


def bounds(strokes: list[Stroke], pen: float) -> Box:
    """The box around all ink, in pixels."""
    xs = [x for stroke in strokes for x, _ in stroke.points]
    ys = [y for stroke in strokes for _, y in stroke.points]
    return min(xs) - pen / 2, min(ys) - pen / 2, max(xs) + pen / 2, max(ys) + pen / 2


def overlap(one: Box, other: Box) -> float:
    """Their common area, as a part of the smaller box."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(width, 0) * max(height, 0) / min(areas)


def ink(draw: ImageDraw.ImageDraw, strokes: list[Stroke], rng: random.Random, pen: float) -> None:
    """Draw strokes in one pen; what can be filled is coloured with a crayon in two of three."""
    color, crayon = rng.choice(PENS), rng.choice(CRAYONS) if rng.random() < 0.67 else None
    for stroke in strokes:
        line = [(x * ZOOM, y * ZOOM) for x, y in stroke.points]
        if stroke.filled and crayon is not None:
            draw.polygon(line, fill=crayon)
        draw.line(line, fill=color, width=max(round(pen * ZOOM), 1), joint="curve")


def paper(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """An empty page: plain, ruled or squared."""
    color: Color = rng.choice(PAPERS)
    page = Image.new("RGB", (size[0] * ZOOM, size[1] * ZOOM), color)
    draw, pattern, step = ImageDraw.Draw(page), rng.random(), rng.randint(10, 22) * ZOOM
    line = tuple(channel - 28 for channel in color)
    if pattern < 0.5:
        for y in range(step, page.height, step):
            draw.line([(0, y), (page.width, y)], fill=line, width=ZOOM)
    if pattern < 0.25:
        for x in range(step, page.width, step):
            draw.line([(x, 0), (x, page.height)], fill=line, width=ZOOM)
    return page


def draw_page(rng: random.Random) -> tuple[Image.Image, list[tuple[str, Box]]]:
    """A page with one to six doodles, and their names and boxes in pixels, all inside the page."""
    size = rng.choice(((320, 240), (240, 320), (360, 240), (300, 300)))
    page, found = paper(rng, size), list[tuple[str, Box]]()
    draw, pen = ImageDraw.Draw(page), rng.uniform(1.2, 3)
    for _ in range(rng.randint(0, 2)):
        start = [rng.uniform(0, side) for side in size]
        dots = [(start[0] + rng.gauss(0, 18), start[1] + rng.gauss(0, 18)) for _ in range(6)]
        ink(draw, [Stroke(dots)], rng, pen)
    wanted = rng.randint(1, 6)
    for _ in range(8 * wanted):
        name = rng.choice(list(DOODLES))
        side = math.exp(rng.uniform(math.log(28), math.log(130)))
        at = (rng.uniform(0, size[0]), rng.uniform(0, size[1]))
        strokes = place(DOODLES[name](rng), rng, size=side, at=at)
        box = bounds(strokes, pen)
        inside = min(box[:2]) >= 0 and box[2] <= size[0] and box[3] <= size[1]
        if inside and all(overlap(box, other) < 0.3 for _, other in found):
            ink(draw, strokes, rng, pen)
            found.append((name, box))
        if len(found) == wanted:
            break
    return page.resize(size, Image.Resampling.LANCZOS), found


def label_line(name: str, box: Box, size: tuple[int, int]) -> str:
    """A line of YOLO: class index, then centre, width and height as parts of the page."""
    x1, x2, y1, y2 = box[0] / size[0], box[2] / size[0], box[1] / size[1], box[3] / size[1]
    parts = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
    return " ".join([str(list(DOODLES).index(name)), *(f"{part:.6f}" for part in parts)])


def write_drawings(folder: Path, *, train: int, val: int, seed: int) -> None:
    """Write the dataset: pictures, labels and ``data.yaml``, which comes last.

    Args:
        folder: made if needed; must be empty.
        train: pictures to train on.
        val: pictures to validate on.
        seed: of the drawings.

    Raises:
        FileExistsError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name another folder, or remove it")
    for split, count in (("train", train), ("val", val)):
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            # A page of its own seed stays the same, however many others there are.
            page, found = draw_page(random.Random(f"{seed} {split} {number}"))
            page.save(images / f"{number:03}.jpg", quality=90)
            lines = [label_line(name, box, page.size) for name, box in found]
            (labels / f"{number:03}.txt").write_text("".join(f"{line}\n" for line in lines))
    description = f"train: images/train\nval: images/val\nnames: [{', '.join(DOODLES)}]\n"
    scratch = folder / "data.yaml.tmp"
    scratch.write_text(description)
    os.replace(scratch, folder / "data.yaml")


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw a small dataset of doodles in YOLO format.")
    parser.add_argument("folder", type=Path, help="new folder of the dataset")
    parser.add_argument("--train", type=int, default=200, help="pictures (default: %(default)s)")
    parser.add_argument("--val", type=int, default=40, help="pictures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        write_drawings(
            arguments.folder, train=arguments.train, val=arguments.val, seed=arguments.seed
        )
    except OSError as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"Drew {arguments.train} and {arguments.val} pictures into {arguments.folder}.")


if __name__ == "__main__":
    main()
