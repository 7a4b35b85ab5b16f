"""COCO JSON's values as the readers' table has them: what tools write otherwise is converted.

What cannot be converted stays as it is, for the reader to refuse.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vfnet_d2.data.formats.files import shorten
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.paths import Resolver
from vfnet_d2.data.formats.records import BoxCorners
from vfnet_d2.data.formats.values import (
    Id,
    Notes,
    as_flag,
    as_id,
    as_name,
    as_number,
    points_of,
)

_PROBED = 20  # images looked for when the folder of images is not given
_IDS = {"images": ("id",), "annotations": ("id", "image_id", "category_id"), "categories": ("id",)}
_WORDS = {"images": "image", "annotations": "annotation", "categories": "category"}


def normalise(content: dict[str, Any], file: Path, notes: Notes) -> None:
    """Convert ids, names, flags, areas and boxes in place, and note what was converted.

    Args:
        content: a COCO JSON with its three lists.
        file: it is from.
        notes: of the reader.
    """
    for key, ids in _IDS.items():
        for number, entry in enumerate(content[key], start=1):
            if not isinstance(entry, dict):
                continue
            has_id = key == "annotations" and as_id(entry.get("id")) is not None
            where = f"{_WORDS[key]} {entry['id'] if has_id else f'number {number}'}"
            for name in ids:
                value = entry.get(name)
                if type(value) is not int and (found := as_id(value)) is not None:
                    entry[name] = found
                    # A text that is no number stays an id as it is.
                    _note(notes, file, f"{key}: {name}", value, found, where)
            if key == "annotations":
                _annotation(entry, file, where, notes)
            elif key == "categories" and (label := as_name(entry.get("name"))) is not None:
                if not isinstance(entry["name"], str):
                    _note(notes, file, "categories: name", entry["name"], label, where)
                entry["name"] = label


def _annotation(entry: dict[str, Any], file: Path, where: str, notes: Notes) -> None:
    crowd, area = entry.get("iscrowd"), entry.get("area")
    missing = " and ".join(k for k, v in (("iscrowd", crowd), ("area", area)) if v in (None, ""))
    if missing:
        what = f"no {missing}: taken to be no crowd, and of the area of its box"
        notes.add("missing-value", file, what, where)
    flag = as_flag(crowd)
    if flag is not None:
        if crowd not in (None, ""):
            _note(notes, file, "annotations: iscrowd", crowd, int(flag), where)
        entry["iscrowd"] = int(flag)
    number = as_number(area)
    if area not in (None, ""):
        usable = number is not None and 0 <= number < float("inf")
        entry["area"] = number if usable else None
        shown = number if usable else "the area of the box"
        _note(notes, file, "annotations: area", area, shown, where)
    box = entry.get("bbox")
    if box in (None, [], "", "null"):
        points = points_of(entry.get("segmentation"))
        if points:
            xs, ys = zip(*points, strict=True)
            entry["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            notes.add("missing-value", file, "no bbox: taken to be that of segmentation", where)
    elif isinstance(box, list):
        numbers = [as_number(value) for value in box]
        if None not in numbers and any(isinstance(value, str) for value in box):
            entry["bbox"] = numbers
            _note(notes, file, "annotations: bbox", box, numbers, where)


def _note(notes: Notes, file: Path, key: str, value: Any, found: Any, where: str) -> None:
    """Count a conversion that changes how a value is written, not 1 to 1.0 or true."""
    if value != found:
        kind = "text" if isinstance(value, str | list) else f"a {type(value).__name__}"
        what = f"{key} is {kind}, such as {shorten(value)}: read as {shorten(found)}"
        # Equal cases differ in their values; the first one's are shown.
        notes.add("converted-value", file, what, where, kind=f"{key} {kind}")
    elif isinstance(value, float) and not isinstance(found, float):
        what = f"{key} is a fraction, such as {value}: read as {found}"
        notes.add("converted-value", file, what, where, kind=f"{key} fraction")


def find_root(file: Path, folder: Path, names: Sequence[str]) -> Path:
    """The first usual folder in which one of the first images exists.

    Args:
        file: the COCO JSON.
        folder: of the dataset.
        names: of the images.
    """
    own = file.parent
    stem = file.stem.removeprefix("instances_")
    homes = [own, own / "images", own.parent / stem, own.parent / "images" / stem]
    homes += [own.parent / "images", own.parent]
    inside = [home for home in homes if home.is_relative_to(folder)]
    for how, places in (("as named", homes), ("spelling", homes), ("end", inside)):
        for home in places:
            resolver = Resolver([home])
            if any(resolver.find(name, [home]).how == how for name in names[:_PROBED]):
                return home
    return own / "images" if (own / "images").is_dir() else own


def is_id(value: object) -> bool:
    """Whether a value is an id."""
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def has_id(entry: Any) -> bool:
    """Whether an entry of the file has one."""
    return isinstance(entry, dict) and is_id(entry.get("id"))


def is_category(entry: Any) -> bool:
    """Whether an entry has an id and a name."""
    return has_id(entry) and isinstance(entry.get("name"), str) and bool(entry["name"].strip())


def category_findings(entries: Sequence[Any], file: Path) -> Iterator[Finding]:
    """Yield what is wrong with the categories of a COCO JSON."""
    seen: set[Id] = set()
    for number, entry in enumerate(entries, start=1):
        where = f"category number {number}"
        if not is_category(entry):
            cause = f"expected a whole number id and a name, got {shorten(entry)}"
            yield Finding("malformed-annotations", str(file), where, cause)
        elif entry["id"] in seen:
            yield Finding("duplicate-id", str(file), where, f"category id {entry['id']} again")
        else:
            seen.add(entry["id"])
    ids = sorted(category for category in seen if isinstance(category, int))
    if ids and (ids[0] not in (0, 1) or ids != list(range(ids[0], ids[0] + len(ids)))):
        cause = f"{len(ids)} categories have ids from {ids[0]} to {ids[-1]}"
        yield Finding("sparse-category-ids", str(file), "", cause)


def corners(bbox: object) -> BoxCorners | None:
    """COCO's x, y, width, height as corners; None where it is not four numbers."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    values = [as_number(value) for value in bbox]
    x, y, width, height = (float("nan") if value is None else value for value in values)
    return None if None in values else (x, y, x + width, y + height)
