"""What a dataset holds: counts for each class and size, and images without objects."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from vfnet_d2.check.across import Split
from vfnet_d2.check.text import plural
from vfnet_d2.data.formats.records import Annotation, ImageRecord

# COCO's ranges of area, in square pixels.
SMALL_AREA, MEDIUM_AREA = 32**2, 96**2
SIZES = ("small", "medium", "large")
# Pixels of the finest level's stride: smaller objects share its cells; and how many are many.
FINEST, MANY = 8, 0.1
_MOST_ROWS = 100  # classes in the table


def size_of(annotation: Annotation) -> str:
    """COCO's size range of an object."""
    if annotation.area < SMALL_AREA:
        return "small"
    return "medium" if annotation.area < MEDIUM_AREA else "large"


def resized_sides(
    records: Sequence[ImageRecord], *, shorter: int = 800, longest: int = 1333
) -> list[float]:
    """Square roots of box areas in pixels after resizing as in training, smallest first.

    Args:
        records: images; those of unknown size, crowds and unusable boxes do not count.
        shorter: side that images are resized to.
        longest: side that they do not exceed.
    """
    sides = []
    for record in records:
        if not record.width or not record.height:
            continue
        low, high = sorted((record.width, record.height))
        scale = min(shorter / low, longest / high)
        for annotation in record.annotations:
            x1, y1, x2, y2 = annotation.box
            usable = all(map(math.isfinite, annotation.box)) and x2 > x1 and y2 > y1
            if usable and not annotation.iscrowd:
                sides.append(scale * math.sqrt((x2 - x1) * (y2 - y1)))
    return sorted(sides)


def resized_text(records: Sequence[ImageRecord]) -> str:
    """Say how large objects are after resizing, and what to do if many become too small."""
    sides = resized_sides(records)
    if not sides:
        return ""
    median, tenth = sides[len(sides) // 2], sides[len(sides) // 10]
    small = sum(side < FINEST for side in sides) / len(sides)
    text = (
        "With the shorter side resized to 800 (the longer to at most 1,333), objects have a side "
        f"of {median:.0f} pixels in the middle, {tenth:.0f} at the 10th percentile; {small:.0%} "
        f"are below {FINEST}, too small for the finest level."
    )
    if small > MANY:
        text += (
            f" Train and predict on larger images, with a shorter side of "
            f"{math.ceil(800 * FINEST / tenth)} for nine in ten, or cut images into tiles."
        )
    return text


def summarise(split: Split) -> dict[str, Any]:
    """Counts of a split, for JSON."""
    objects = [a for record in split.records for a in record.annotations if not a.iscrowd]
    sizes = Counter((a.class_index, size_of(a)) for a in objects)
    images = Counter(
        index
        for record in split.records
        for index in {a.class_index for a in record.annotations if not a.iscrowd}
    )
    per_class = []
    for index, name in enumerate(split.reader.classes):
        of_size = {size: sizes[index, size] for size in SIZES}
        per_class.append(
            {
                "name": name,
                "objects": sum(of_size.values()),
                "images": images[index],
                **of_size,
            }
        )
    pictured = [(r.width, r.height) for r in split.records if r.width and r.height]
    return {
        "format": split.reader.name,
        "path": str(split.reader.path),
        "image_root": str(split.reader.root),
        "images": len(split.records),
        "images_without_objects": sum(
            all(a.iscrowd for a in record.annotations) for record in split.records
        ),
        "objects": len(objects),
        "crowds": sum(a.iscrowd for record in split.records for a in record.annotations),
        "smallest_image": min(pictured, key=lambda s: s[0] * s[1], default=(0, 0)),
        "largest_image": max(pictured, key=lambda s: s[0] * s[1], default=(0, 0)),
        "classes": per_class,
    }


def summary_text(name: str, split: Split) -> str:
    """The same for people: a line and a table."""
    counts = summarise(split)
    smallest, largest = (
        "{} x {}".format(*counts[f"{key}_image"]) for key in ("smallest", "largest")
    )
    sizes = (
        f"of {smallest} pixels" if smallest == largest else f"from {smallest} to {largest} pixels"
    )
    title = f"{name}: " if name else ""
    crowds = f", {plural(counts['crowds'], 'crowd')}" if counts["crowds"] else ""
    classes = plural(len(counts["classes"]), "class")
    objects = f"{plural(counts['objects'], 'object')} of {classes}{crowds}"
    lines = [
        f"{title}{counts['path']} ({counts['format']})",
        f"{plural(counts['images'], 'image')} {sizes}, "
        f"{counts['images_without_objects']:,} without objects; {objects}",
    ]
    columns = ("name", "objects", "images", *SIZES)
    rows = [[entry[column] for column in columns] for entry in counts["classes"]]
    if rows:
        low, high = (f"{bound**0.5:g} x {bound**0.5:g}" for bound in (SMALL_AREA, MEDIUM_AREA))
        headers = ["class", "objects", "images", f"small\n< {low}", "medium", f"large\n>= {high}"]
        table = tabulate(rows[:_MOST_ROWS], headers=headers, intfmt=",", disable_numparse=[0])
        lines += ["", table]
    if len(rows) > _MOST_ROWS:
        lines.append(f"and {len(rows) - _MOST_ROWS:,} more classes")
    resized = textwrap.wrap(resized_text(split.records), 100)
    lines += ["", *resized] if resized else []
    return "\n".join(lines)
