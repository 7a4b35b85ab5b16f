"""Pascal VOC XML: one file an image.

VOC counts pixels from 1 and includes the last: (1, 1, W, H) is the whole image. Here that is
(0, 0, W, H): 1 is taken from xmin and ymin. Objects marked ``difficult`` become crowds, which is
what VOC's own evaluation does with them: a match counts neither for nor against.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import defusedxml
from defusedxml import ElementTree

from vfnet_d2.data.formats.classes import listed_classes, sorted_classes
from vfnet_d2.data.formats.files import (
    IMAGE_SUFFIXES,
    as_size,
    below,
    leaves_root,
    shorten,
    upright_size,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import SPLIT_NAMES, Reader
from vfnet_d2.data.formats.records import Annotation, BoxCorners, ImageRecord, Reading, box_area

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocReader(Reader):
    """A folder with Annotations/*.xml and JPEGImages/, or with the XML files beside the images."""

    name = "voc"
    looks_like = "a folder with Annotations/*.xml, or with *.xml beside the images"

    @classmethod
    def splits(cls, path: Path) -> Mapping[str, Path]:
        """The folder, once for each list in ImageSets/Main."""
        if not path.is_dir():
            return {}
        if _has_xml(path / "Annotations"):
            lists = {name: path for name in SPLIT_NAMES if _split_list(path, name).is_file()}
            if "train" in lists:
                lists.pop("trainval", None)  # the union of two others
            return lists or {"": path}
        return {"": path} if _has_xml(path) else {}

    def own_classes(self) -> tuple[str, ...]:
        """Those of classes.txt, else those of all splits, sorted."""
        return listed_classes(self.path) or sorted_classes(
            name
            for folder in self.folders_of_splits()
            for name in _names_in(sorted(_xml_folder(folder).glob("*.xml")))
        )

    @cached_property
    def root(self) -> Path:
        """The folder that was opened."""
        return self.path if self.given_root is None else self.given_root

    def _read(self) -> Iterator[Reading]:
        count = 0
        for file in self._files():
            if isinstance(file, Finding):
                yield file
                continue
            count += 1
            tree = _parse(file)
            if isinstance(tree, Finding):
                yield tree
            elif tree.tag != "annotation":
                cause = f"expected the root element <annotation>, got <{tree.tag}>"
                yield Finding("malformed-annotations", str(file), "", cause)
            else:
                yield from self._image(tree, file, count)

    def _files(self) -> Iterator[Path | Finding]:
        """The XML files of the split, or a finding for a listed one that does not exist."""
        listing = _split_list(self.path, self.split)
        if not self.split or not listing.is_file():
            yield from sorted(_xml_folder(self.path).glob("*.xml"))
            return
        lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            stem = line.strip()
            if not stem:
                continue
            file = below(_xml_folder(self.path), f"{stem}.xml")
            where = f"line {number}"
            if file is None:
                yield leaves_root(stem, _xml_folder(self.path), listing, where)
            elif not os.path.isfile(file):
                cause = f"{shorten(stem)} is listed, but {file} does not exist"
                yield Finding("unreadable-annotations", str(listing), where, cause)
            else:
                yield file

    def _image(self, tree: "Element", file: Path, number: int) -> Iterator[Reading]:
        path = self._image_path(_text(tree, "filename"), file)
        if path is None:
            yield leaves_root(_text(tree, "filename"), self.root, file, "filename")
            return
        size = (as_size(_text(tree, "size/width")), as_size(_text(tree, "size/height")))
        width, height = size
        # Some tools write 0 x 0, which says nothing.
        if width is None or height is None:
            width, height = upright_size(path)
        annotations = []
        for index, item in enumerate(tree.findall("object"), start=1):
            found = self._object(item, file, f"object {index}")
            if isinstance(found, Finding):
                yield found
            else:
                annotations.append(found)
        yield ImageRecord(
            path=str(path),
            width=width,
            height=height,
            annotations=tuple(annotations),
            image_id=number,
            file=str(file),
            where="",
            normalised=False,
        )

    def _image_path(self, filename: str, file: Path) -> Path | None:
        """Where the image is, or should be; None if its name leaves the root."""
        name = filename.replace("\\", "/") or f"{file.stem}.jpg"
        homes = [self.path / "JPEGImages", self.path / "images", file.parent]
        if self.given_root is not None:
            homes = [self.given_root]
        homes = [home for home in homes if home.is_dir()]
        # The file's own name counts last: files are renamed more often than their content.
        stems = [f"{file.stem}{suffix}" for suffix in IMAGE_SUFFIXES]
        for candidate in (name, *stems):
            for home in homes:
                path = below(home, candidate)
                if path is None and below(self.root, candidate) is None:
                    return None
                if path is not None and os.path.isfile(path):
                    return path
        return below((homes or [self.root])[0], name)

    def _object(self, item: "Element", file: Path, where: str) -> Annotation | Finding:
        name = _text(item, "name")
        if not name:
            return Finding("malformed-object", str(file), where, "it has no <name>")
        where = f"{where} ({shorten(name)})"
        index = self.class_index(name)
        if index is None:
            return self.unknown_class(name, file, where)
        box = _box(item)
        if box is None:
            found = {corner: _text(item, f"bndbox/{corner}") for corner in _CORNERS}
            cause = f"<bndbox> must hold the numbers {', '.join(_CORNERS)}, got {found}"
            return Finding("malformed-object", str(file), where, cause)
        difficult = _text(item, "difficult").lower() in ("1", "true")
        return Annotation(box, index, difficult, box_area(box), where)


def _names_in(files: Iterable[Path]) -> Iterator[str]:
    """The class names in XML files; those that cannot be read have none."""
    for file in files:
        tree = _parse(file)
        if not isinstance(tree, Finding):
            names = (_text(item, "name") for item in tree.findall("object"))
            yield from (name for name in names if name)


def _xml_folder(folder: Path) -> Path:
    """The folder of the XML files of a dataset."""
    annotations = folder / "Annotations"
    return annotations if annotations.is_dir() else folder


def _has_xml(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.xml"))


def _split_list(path: Path, split: str) -> Path:
    return path / "ImageSets" / "Main" / f"{split}.txt"


def _parse(file: Path) -> "Element | Finding":
    """The root element of an XML file, or why there is none."""
    try:
        root: Element = ElementTree.parse(file).getroot()
    except defusedxml.DefusedXmlException as error:
        # The library's message holds the entity's content, which may be long.
        kind = type(error).__name__
        return Finding("xml-entities", str(file), "", f"it was not read any further ({kind})")
    except ElementTree.ParseError as error:
        return Finding("unreadable-annotations", str(file), "", f"not XML: {error}")
    except (OSError, ValueError, LookupError) as error:
        return Finding("unreadable-annotations", str(file), "", str(error))
    return root


def _text(item: "Element", path: str) -> str:
    """The stripped text of a descendant; "" if there is none."""
    return (item.findtext(path) or "").strip()


def _box(item: "Element") -> BoxCorners | None:
    values = []
    for corner in _CORNERS:
        text = _text(item, f"bndbox/{corner}")
        if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf", text, re.I):
            return None
        values.append(float(text))
    left, top, right, bottom = values
    return left - 1, top - 1, right, bottom
