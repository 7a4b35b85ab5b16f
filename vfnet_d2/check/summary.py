"""What a dataset holds: counts for each class and size, and images without objects."""

from collections import Counter
from typing import Any

from tabulate import tabulate

from vfnet_d2.check.across import Split
from vfnet_d2.check.text import plural
from vfnet_d2.data.formats.records import Annotation

# COCO's ranges of area, in square pixels.
SMALL_AREA, MEDIUM_AREA = 32**2, 96**2
SIZES = ("small", "medium", "large")
_MOST_ROWS = 100  # classes in the table


def size_of(annotation: Annotation) -> str:
    """COCO's size range of an object."""
    if annotation.area < SMALL_AREA:
        return "small"
    return "medium" if annotation.area < MEDIUM_AREA else "large"


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
    return "\n".join(lines)
