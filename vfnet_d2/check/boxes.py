"""What can be wrong with the objects of an image, told from its annotations alone."""

import math
from collections.abc import Iterator

from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.records import Annotation, BoxCorners, ImageRecord

# Pixels that a box may reach beyond its image: rounding, and tools that count pixels from 0 where
# the format says 1. Training clips boxes to the image.
TOLERANCE = 1.0


def box_findings(record: ImageRecord) -> Iterator[Finding]:
    """Yield what is wrong with the boxes of an image, judged by its recorded size."""
    seen: dict[tuple[int, BoxCorners], str] = {}
    for annotation in record.annotations:
        found = _box_problem(annotation, record)
        where = ", ".join(filter(None, (record.where, annotation.where)))
        if record.where.startswith("image "):
            where = annotation.where  # an annotation's id is enough to find it
        if found is not None:
            code, problem = found
            size = f"of {record.width} x {record.height} pixels" if record.width else ""
            cause = f"box {_show(annotation.box)} in {_name(record)} {size}".rstrip()
            yield Finding(code, record.file, where, f"{cause} {problem}")
            continue
        key = (annotation.class_index, annotation.box)
        if key in seen:
            cause = f"box {_show(annotation.box)} in {_name(record)}, as {seen[key]}"
            yield Finding("duplicate-box", record.file, where, cause)
        seen.setdefault(key, annotation.where)


def clip_box(box: BoxCorners, width: int, height: int) -> BoxCorners:
    """The part of a box inside an image of ``width`` x ``height`` pixels; may have no area."""
    x1, y1, x2, y2 = box
    return (
        min(max(x1, 0.0), width),
        min(max(y1, 0.0), height),
        min(max(x2, 0.0), width),
        min(max(y2, 0.0), height),
    )


def _box_problem(annotation: Annotation, record: ImageRecord) -> tuple[str, str] | None:
    """Code of what is wrong with a box, and the message's end."""
    x1, y1, x2, y2 = annotation.box
    if not all(map(math.isfinite, annotation.box)):
        return "box-not-finite", "has a coordinate that is not a finite number"
    if x2 < x1 or y2 < y1:
        sides = "right side comes before its left" if x2 < x1 else "lower side is above its upper"
        return "box-inverted", f"is inverted: its {sides} one"
    if x1 == x2 or y1 == y2:
        return "box-without-area", f"is {x2 - x1:g} x {y2 - y1:g} pixels large"
    if not record.width or not record.height:
        return None
    if x2 <= 0 or y2 <= 0 or x1 >= record.width or y1 >= record.height:
        return "box-off-image", "lies wholly outside"
    over = max(-x1, -y1, x2 - record.width, y2 - record.height)
    if over > TOLERANCE:
        return "box-outside-image", f"reaches {over:.4g} pixels beyond the image"
    return None


def _show(box: BoxCorners) -> str:
    """Corners as short text."""
    return "(" + ", ".join(f"{value:.6g}" for value in box) + ")"


def _name(record: ImageRecord) -> str:
    return record.path.replace("\\", "/").rpartition("/")[2]
