"""YOLO txt: a line an object, "class cx cy w h" as parts of the image size, classes from 0.

The label file of ``images/a/b.jpg`` is ``labels/a/b.txt``, without a folder ``images`` it stands
beside the image. An image without one has no objects. Lines with more numbers are polygons, which
become the boxes around them, or boxes with keypoints or a confidence: see ``yolo_lines.py``. The
format has no crowds.
"""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from vfnet_d2.data.formats.classes import listed_classes
from vfnet_d2.data.formats.files import (
    UnreadableFileError,
    files_in,
    read_text,
    shorten,
    upright_size,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.records import (
    LARGEST_NORMALISED,
    Annotation,
    ImageRecord,
    Reading,
    box_area,
)
from vfnet_d2.data.formats.values import as_id
from vfnet_d2.data.formats.yolo_files import YoloFiles
from vfnet_d2.data.formats.yolo_lines import Kind, corners_of, kind_of, values_of


class YoloReader(YoloFiles):
    """A data.yaml, or a folder with one, or a folder with images/ and labels/."""

    name = "yolo"
    looks_like = "a data.yaml, a folder with one, or a folder with images/ and labels/*.txt"

    def own_classes(self) -> tuple[str, ...]:
        """``names`` of data.yaml, else those of classes.txt."""
        if self._config is not None:
            return self._config.names
        return listed_classes(self.path) or listed_classes(self.path / "labels")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names; "class_0" and so on where the dataset names none."""
        if self.given_classes is not None:
            return self.given_classes
        if self._named_classes or self._config is not None:
            return self._named_classes
        return tuple(f"class_{index}" for index in range(self._largest_index() + 1))

    @cached_property
    def _named_classes(self) -> tuple[str, ...]:
        return self.own_classes()

    def _largest_index(self) -> int:
        """Of all label files; -1 if there is none, and no more than 9999 for a damaged one."""
        largest = -1
        for file in files_in(self.path / "labels", "**/*.txt"):
            try:
                firsts = [line.split()[0] for line in read_text(file).splitlines() if line.strip()]
            except UnreadableFileError:
                continue
            indices = [int(text) for text in firsts if text.isascii() and text.isdigit()]
            largest = max([largest, *(index for index in indices if index < 10_000)])
        return largest

    def _read(self) -> Iterator[Reading]:
        if self._config is not None:
            yield from self._config.findings
        elif not self._named_classes and self.given_classes is None:
            cause = f"neither data.yaml nor classes.txt: named {self.classes[0]} and so on"
            yield Finding("unnamed-classes", str(self.path), "", cause)
        number = 0
        self._found = list(self._images())
        for found in self._found:
            if isinstance(found, Finding):
                yield found
            else:
                number += 1
                yield from self._image(found, number)

    def _image(self, path: Path, number: int) -> Iterator[Reading]:
        file = self.label_of(path)
        width, height = upright_size(path)
        annotations = []
        for found in self._objects(file, width, height) if os.path.exists(file) else []:
            if not width and not isinstance(found, Finding):
                # Without a size there is no box; the check says why the image has none.
                yield from self.lost_objects(1, file, found.where)
            elif isinstance(found, Finding):
                yield found
            else:
                annotations.append(found)
        yield ImageRecord(
            path=str(path),
            width=width,
            height=height,
            annotations=tuple(annotations),
            image_id=number,
            file=str(file) if os.path.exists(file) else str(path),
            where="",
            normalised=True,
        )

    def _objects(self, file: Path, width: int, height: int) -> Iterator[Annotation | Finding]:
        try:
            lines = read_text(file).splitlines()
        except UnreadableFileError as error:
            yield Finding("unreadable-annotations", str(file), "", str(error))
            return
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self._object(line, file, f"line {number}", width, height)

    def _object(
        self, line: str, file: Path, where: str, width: int, height: int
    ) -> Annotation | Finding:
        first, *rest = line.split()
        values = values_of(rest)
        index = as_id(first)
        if not values or not isinstance(index, int):
            cause = f'expected "class cx cy w h" in numbers, got {shorten(line)}'
            return Finding("malformed-object", str(file), where, cause)
        own = self._named_classes or self.classes
        if not 0 <= index < len(own):
            known = f"expected 0 to {len(own) - 1}" if own else "no class names are known"
            return Finding("unknown-class", str(file), where, f"class index {first[:20]}, {known}")
        mapped = self.class_index(own[index])
        if mapped is None:
            return self.unknown_class(own[index], file, where)
        shape = self._config.keypoints if self._config is not None else None
        short = len(values) < 6 or shape is not None
        corners = corners_of(values, "keypoints" if short else self._kind_of_long_lines, shape)
        if isinstance(corners[0], str):
            code, cause = corners
            return Finding(code, str(file), where, f"{cause}, got {shorten(line)}")
        if len(values) > 4 and (short or self._kind_of_long_lines == "keypoints"):
            more = "a confidence" if len(values) == 5 else "keypoints"
            what = f"{len(values)} numbers after the class: a box, and {more}, which is left out"
            self.notes.add("ignored-numbers", self.path, what, f"{file.name}, {where}")
        if any(LARGEST_NORMALISED < abs(value) < float("inf") for value in values[:4]):
            cause = f"expected parts of the image size, from 0 to 1, got {shorten(line)}"
            return Finding("box-not-normalised", str(file), where, cause)
        x1, y1, x2, y2 = corners
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        return Annotation(box, mapped, False, box_area(box), where)

    @cached_property
    def _kind_of_long_lines(self) -> Kind:
        """What lines of more than five numbers are, by ``task`` or by all lines of the split."""
        task = self._config.task if self._config is not None else ""
        if task in ("segment", "obb", "pose"):
            return "keypoints" if task == "pose" else "polygons"
        rows = []
        for image in self._found:
            if isinstance(image, Path):
                try:
                    lines = read_text(self.label_of(image)).splitlines()
                except UnreadableFileError:
                    continue
                rows += [values for line in lines if len(values := values_of(line.split()[1:])) > 5]
        return kind_of(rows) if rows else "unknown"
