"""JSONL of Azure's AutoML for images: a line an image.

``{"image_url": ..., "image_details": {"width": "499px", "height": "666px"}, "label": [{"label":
"can", "topX": 0.1, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6, "isCrowd": 0}]}``: coordinates
are parts of the image size, image_details may be missing. The URL of a datastore is mapped to the
local root: what stands after the datastore, else ever shorter ends of that (see ``paths.py``).
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from vfnet_d2.data.formats.classes import listed_classes, sorted_classes
from vfnet_d2.data.formats.files import (
    UnreadableFileError,
    files_in,
    parse_json,
    shorten,
    upright_size,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import Reader
from vfnet_d2.data.formats.records import (
    LARGEST_NORMALISED,
    Annotation,
    ImageRecord,
    Reading,
    box_area,
)
from vfnet_d2.data.formats.values import as_flag, as_name, as_number, as_size, points_of

_CORNERS = ("topX", "topY", "bottomX", "bottomY")


class JsonlReader(Reader):
    """One .jsonl file."""

    name = "jsonl"
    looks_like = "a .jsonl file, or a folder with *.jsonl"

    @classmethod
    def splits(cls, path: Path) -> Mapping[str, Path]:
        """The file, or those of a folder by split."""
        if path.is_file():
            return {"": path} if path.suffix.lower() == ".jsonl" else {}
        files = {file.stem: file for file in files_in(path, "*.jsonl")}
        return {"": next(iter(files.values()))} if len(files) == 1 else files

    def own_classes(self) -> tuple[str, ...]:
        """Those of classes.txt, else those of all splits, sorted."""
        listed = listed_classes(self.path.parent)
        return listed or sorted_classes(
            name for file in self._all_files() for name in _names_in(file)
        )

    def _all_files(self) -> list[Path]:
        """The files of all splits: they decide the classes together."""
        found = [f for folder in self.folders_of_splits() for f in files_in(folder, "*.jsonl")]
        return sorted({self.path, *found})

    @cached_property
    def root(self) -> Path:
        """The folder of the file."""
        return self.path.parent if self.given_root is None else self.given_root

    def _read(self) -> Iterator[Reading]:
        count = 0
        for number, entry in _lines(self.path):
            where = f"line {number}"
            if isinstance(entry, str):
                yield Finding("unreadable-annotations", str(self.path), where, entry)
            elif not isinstance(entry, dict) or not isinstance(entry.get("image_url"), str):
                cause = f"expected an object with image_url, got {shorten(entry)}"
                yield Finding("malformed-image", str(self.path), where, cause)
            else:
                count += 1
                yield from self._image(entry, where, count)

    def _image(self, entry: dict[str, Any], where: str, number: int) -> Iterator[Reading]:
        homes = (self.root, self.root / "images", self.path.parent)
        path = self.locate(entry["image_url"], homes, self.path, where)
        label = entry.get("label")
        if isinstance(path, Finding):
            yield path
            yield from self.lost_objects(
                len(label) if isinstance(label, list) else 0, self.path, where
            )
            return
        details = entry.get("image_details")
        details = details if isinstance(details, dict) else {}
        width, height = as_size(details.get("width")), as_size(details.get("height"))
        if width is None or height is None:
            wrong = {k: details[k] for k in ("width", "height") if details.get(k) is not None}
            if len(wrong) == 2:
                cause = f"width and height must be like 499 or '499px', got {shorten(wrong)}"
                yield Finding("malformed-image", str(self.path), where, cause)
            width, height = upright_size(path)
        if not isinstance(label, list):
            cause = f"label must be a list of objects, got {shorten(label)}"
            yield Finding("malformed-image", str(self.path), where, cause)
            label = []
        annotations = []
        for index, item in enumerate(label, start=1):
            found = self._object(item, f"{where}, label {index}", width, height)
            if isinstance(found, Finding):
                yield found
            elif width:
                annotations.append(found)
            else:
                yield from self.lost_objects(1, self.path, f"{where}, label {index}")
        yield ImageRecord(
            path=str(path),
            width=width,
            height=height,
            annotations=tuple(annotations),
            image_id=number,
            file=str(self.path),
            where=where,
            normalised=True,
        )

    def _object(self, item: Any, where: str, width: int, height: int) -> Annotation | Finding:
        file = self.path
        name = as_name(item.get("label")) if isinstance(item, dict) else None
        if name is None:
            cause = f"expected an object with label and {', '.join(_CORNERS)}, got {shorten(item)}"
            return Finding("malformed-object", str(file), where, cause)
        index = self.class_index(name)
        if index is None:
            return self.unknown_class(name, file, where)
        points = points_of(item.get("polygon"))
        if points and all(item.get(corner) is None for corner in _CORNERS):
            xs, ys = zip(*points, strict=True)
            item = {
                **item,
                **dict(
                    zip(_CORNERS, map(float, (min(xs), min(ys), max(xs), max(ys))), strict=True)
                ),
            }
            self.notes.add("missing-value", file, "no corners: taken to be those of polygon", where)
        values = [as_number(item.get(corner)) for corner in _CORNERS]
        numbers = [value for value in values if value is not None]
        crowd = as_flag(item.get("isCrowd"))
        if len(numbers) != 4:
            found = {corner: item.get(corner) for corner in _CORNERS}
            cause = f"{', '.join(_CORNERS)} must be numbers, got {shorten(found)}"
            return Finding("malformed-object", str(file), where, cause)
        if crowd is None:
            cause = f"isCrowd must be 0 or 1, got {shorten(item.get('isCrowd'))}"
            return Finding("malformed-object", str(file), where, cause)
        texts = [k for k in ("isCrowd", *_CORNERS) if isinstance(item.get(k), str) and item[k]]
        if texts:
            what = f"{', '.join(texts)}: text, such as {shorten(item[texts[0]])}, read as numbers"
            self.notes.add("converted-value", file, what, where, kind="text")
        x1, y1, x2, y2 = numbers
        if any(LARGEST_NORMALISED < abs(value) < float("inf") for value in numbers):
            cause = f"expected parts of the image size, from 0 to 1, got {numbers}"
            return Finding("box-not-normalised", str(file), where, cause)
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        return Annotation(box, index, crowd, box_area(box), where)


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank; a text where the line cannot be read."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    text = line.decode("utf-8-sig").strip()
                    if text:
                        yield number, _as_object(parse_json(text))
                except UnicodeDecodeError:
                    yield number, "not UTF-8 text"
                except UnreadableFileError as error:
                    yield number, str(error)
    except OSError as error:
        yield 0, error.strerror or str(error)


def _as_object(value: Any) -> Any:
    """The value; as a list if it is a text, which would look like an error message."""
    return [value] if isinstance(value, str) else value


def _names_in(file: Path) -> Iterator[str]:
    for _, entry in _lines(file):
        label = entry.get("label") if isinstance(entry, dict) else None
        for item in label if isinstance(label, list) else []:
            name = as_name(item.get("label")) if isinstance(item, dict) else None
            if name is not None:
                yield name
