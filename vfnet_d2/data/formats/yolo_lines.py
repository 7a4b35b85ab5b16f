"""What the numbers after the class of a YOLO line are: a box, with more, or a polygon.

Four are a box, five a box and a confidence. More are keypoints behind a box (2 numbers each, or 3
with a visibility of 0, 1 or 2) or a polygon's corners, which one line alone does not tell: a box
read from a polygon's first numbers mostly encloses the rest, too. So all lines decide together.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vfnet_d2.data.formats.records import BoxCorners
from vfnet_d2.data.formats.values import as_number

Kind = Literal["keypoints", "polygons", "unknown"]
Row = Sequence[float]

# Of all lines, in one length: keypoints have one length, polygons many.
_ONE_LENGTH = 0.8
# Of the lines, with corners of a parallelogram: those cut off at an image's border have others.
_ORIENTED = 0.9
# Small polygons at random places look like a box with points in it in (2 / 3)^2 = 44% of cases.
_BOXES = 0.5
_ROUNDING = 2e-3


def kind_of(rows: Sequence[Row]) -> Kind:
    """Tell keypoints behind boxes from polygons, by all lines of more than five numbers.

    Args:
        rows: the numbers of each line, without the class, as parts of the image size.
    """
    lengths = Counter(map(len, rows))
    length, count = lengths.most_common(1)[0]
    if count < _ONE_LENGTH * len(rows):
        return "polygons"
    rows = [row for row in rows if len(row) == length]
    visible = (length - 4) % 3 == 0 and all(v in (0, 1, 2) for row in rows for v in row[6::3])
    if visible and _share([_encloses(row, 3) for row in rows]) > _BOXES:
        return "keypoints"
    if length == 8 and _share([_is_parallelogram(row) for row in rows]) >= _ORIENTED:
        return "polygons"
    dims = [d for d in (2, 3) if (length - 4) % d == 0]
    if any(_share([_encloses(row, d) for row in rows]) > _BOXES for d in dims):
        return "unknown"
    return "polygons"


def corners_of(row: Row, kind: Kind, shape: tuple[int, int] | None) -> BoxCorners | tuple[str, str]:
    """Return the box that a line holds, as parts of the image; else a code and the cause.

    Args:
        row: its numbers, without the class.
        kind: of lines with more than five numbers.
        shape: the number of keypoints and of the numbers of each, if data.yaml says so.
    """
    count = len(row)
    if shape and count not in (4, 4 + shape[0] * shape[1]):
        lengths = f"4 or {4 + shape[0] * shape[1]} numbers after the class"
        return "malformed-object", f"expected, by kpt_shape {list(shape)}: {lengths}; {count} here"
    if kind == "unknown":
        return "ambiguous-labels", (
            f"{count} numbers after the class, of which four are a box around the rest in most "
            "lines: a box with keypoints (say so by kpt_shape in data.yaml) or a polygon (task)"
        )
    confidence = count != 5 or (_is_box(row) and 0 <= row[4] <= 1)
    if count < 4 or not confidence or (kind == "polygons" and count % 2):
        forms = '"class cx cy w h" or "class x1 y1 x2 y2 x3 y3 ..."'
        return "malformed-object", f"expected {forms}; {count} numbers after the class"
    if kind == "polygons":
        return min(row[0::2]), min(row[1::2]), max(row[0::2]), max(row[1::2])
    cx, cy, w, h = row[:4]
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def values_of(texts: Sequence[str]) -> list[float]:
    """Return texts as numbers; [] if one is none."""
    numbers = [as_number(text) for text in texts]
    return [number for number in numbers if number is not None] if None not in numbers else []


def _is_box(row: Row) -> bool:
    """Whether the first four numbers are a box inside the image."""
    cx, cy, w, h = row[:4]
    inside = abs(cx - 0.5) + w / 2 <= 0.5 + _ROUNDING and abs(cy - 0.5) + h / 2 <= 0.5 + _ROUNDING
    return w > 0 and h > 0 and inside


def _encloses(row: Row, dims: int) -> bool:
    """Whether the first four numbers are a box with all points in it; (0, 0) is none."""
    cx, cy, w, h = row[:4]
    points = [(x, y) for x, y in zip(row[4::dims], row[5::dims], strict=False) if x or y]
    across, down = 0.55 * w + _ROUNDING, 0.55 * h + _ROUNDING  # points may stand at the border
    return _is_box(row) and all(abs(x - cx) <= across and abs(y - cy) <= down for x, y in points)


def _is_parallelogram(row: Row) -> bool:
    """Whether both diagonals of four corners have the same middle."""
    gaps = (row[0] + row[4] - row[2] - row[6], row[1] + row[5] - row[3] - row[7])
    return all(abs(gap) <= _ROUNDING for gap in gaps)


def _share(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers)


def label_file(image: Path, *, below: Path | None = None) -> Path:
    """Where the labels of an image stand: in ``labels`` for the last ``images`` of its path.

    Args:
        image: its path.
        below: a folder that the image lies in, whose own name and place do not count.
    """
    parts = list(image.with_suffix(".txt").parts)
    first = 0 if below is None else len(below.parts)
    for position in range(len(parts) - 2, first - 1, -1):
        if parts[position].casefold() == "images":
            parts[position] = "labels"
            break
    return Path(*parts)
