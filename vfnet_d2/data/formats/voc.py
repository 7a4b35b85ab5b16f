"""Pascal VOC XML: one file an image.

VOC counts pixels from 1 and includes the last: (1, 1, W, H) is the whole image. Here that is
(0, 0, W, H): 1 is taken from xmin and ymin. Objects marked ``difficult`` become crowds, which is
what VOC's own evaluation does with them: a match counts neither for nor against.

An XML file belongs to the image of its own name, as in VOC and Detectron2. ``<filename>`` tells
the suffix; another name in it counts only if no image has the XML file's name, and only if that
image has no XML file of its own.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vfnet_d2.data.formats.classes import listed_classes, sorted_classes
from vfnet_d2.data.formats.files import (
    IMAGE_SUFFIXES,
    below,
    leaves_root,
    same_name,
    shorten,
    upright_size,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import SPLIT_NAMES, Reader
from vfnet_d2.data.formats.records import Annotation, ImageRecord, Reading, box_area
from vfnet_d2.data.formats.values import as_flag, as_name, as_size
from vfnet_d2.data.formats.voc_xml import (
    CORNERS,
    agrees,
    has_xml,
    names_in,
    parse,
    split_list,
    text,
    without_xml,
    xml_files,
    xml_folder,
)
from vfnet_d2.data.formats.voc_xml import box as box_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class VocReader(Reader):
    """A folder with Annotations/*.xml and JPEGImages/, or with the XML files beside the images."""

    name = "voc"
    looks_like = "a folder with Annotations/*.xml, or with *.xml beside the images"

    @classmethod
    def splits(cls, path: Path) -> Mapping[str, Path]:
        """The folder, once for each list in ImageSets/Main."""
        if not path.is_dir():
            return {}
        if has_xml(path / "Annotations"):
            lists = {name: path for name in SPLIT_NAMES if split_list(path, name).is_file()}
            if "train" in lists:
                lists.pop("trainval", None)  # the union of two others
            return lists or {"": path}
        return {"": path} if has_xml(path) else {}

    def own_classes(self) -> tuple[str, ...]:
        """Those of classes.txt, else those of all splits, sorted."""
        return listed_classes(self.path) or sorted_classes(
            name for folder in self.folders_of_splits() for name in names_in(xml_files(folder))
        )

    @cached_property
    def root(self) -> Path:
        """The folder that was opened."""
        return self.path if self.given_root is None else self.given_root

    def _read(self) -> Iterator[Reading]:
        count = 0
        self._claimed: dict[str, Path] = {}
        for file in self._files():
            if isinstance(file, Finding):
                yield file
                continue
            count += 1
            tree = parse(file)
            if isinstance(tree, Finding):
                yield tree
            elif tree.tag != "annotation":
                cause = f"expected the root element <annotation>, got <{tree.tag}>"
                yield Finding("malformed-annotations", str(file), "", cause)
            else:
                yield from self._image(tree, file, count)
        if not split_list(self.path, self.split).is_file():
            paths = [os.path.realpath(path) for path in self._claimed]
            for home in self._homes or [self.path]:
                yield from without_xml(home, self.path, paths)

    def _files(self) -> Iterator[Path | Finding]:
        """The XML files of the split, or a finding for a listed one that does not exist."""
        listing = split_list(self.path, self.split)
        if not self.split or not listing.is_file():
            yield from xml_files(self.path)
            return
        lines = listing.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self._listed(line.strip(), listing, f"line {number}")

    def _listed(self, entry: str, listing: Path, where: str) -> Path | Finding:
        """The XML file that a line of a list means: a name, also with a suffix or folders."""
        home = xml_folder(self.path)
        slashed = entry.replace("\\", "/")
        stem, suffix = os.path.splitext(slashed)
        known = suffix.lower() in (".xml", *IMAGE_SUFFIXES)
        names = [entry, slashed, *([stem, stem.rpartition("/")[2]] if known else [])]
        for name in names:
            file = self.resolver.spelled(f"{name}.xml", [home])
            if file is not None:
                return file
        missing = below(home, f"{slashed}.xml")
        if missing is None:
            return leaves_root(entry, home, listing, where)
        cause = f"{shorten(entry)} is listed, but {missing} does not exist"
        return Finding("unreadable-annotations", str(listing), where, cause)

    def _image(self, tree: "Element", file: Path, number: int) -> Iterator[Reading]:
        filename = text(tree, "filename")
        path = self._image_path(filename, file)
        problem = path if isinstance(path, Finding) else self._pairing(path, filename, file)
        if problem is not None:
            yield problem
            yield from self.lost_objects(len(tree.findall("object")), file, "")
            return
        assert isinstance(path, Path)
        size = (as_size(text(tree, "size/width")), as_size(text(tree, "size/height")))
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

    @cached_property
    def _homes(self) -> list[Path]:
        """The folders that images may stand in, besides those of the XML files."""
        homes = [self.path / "JPEGImages", self.path / "images"]
        if self.given_root is not None:
            homes = [self.given_root]
        found = [self.resolver.spelled(str(home), [Path()], os.path.isdir) for home in homes]
        return [home for home in found if home is not None]

    def _image_path(self, filename: str, file: Path) -> Path | Finding:
        """Where the image is, or should be; a finding if its name leaves the root."""
        name = filename.replace("\\", "/") or f"{file.stem}.jpg"
        homes = [*self._homes, *([] if self.given_root is not None else [file.parent])]
        inside = self._inside(file)
        own = [f"{inside}{suffix}" for s in IMAGE_SUFFIXES for suffix in (s, s.upper())]
        own.insert(0, f"{inside}{os.path.splitext(name)[1]}")
        # A name that agrees may have folders besides; one that does not counts last.
        first = agrees(filename, file) and "/" not in inside
        for candidate in (name, *own) if first else own:
            path = self.resolver.exact(candidate, homes)
            if path is not None:
                return path
        for candidate in dict.fromkeys(own):
            path = self.resolver.spelled(candidate, homes)
            if path is not None:
                self.note_path("spelling", candidate, path, file, "filename")
                return path
        return self.locate(name, homes or [self.root], file, "filename")

    def _inside(self, file: Path) -> str:
        """An XML file's own name, with the folders below the folder of all, without suffix."""
        return file.relative_to(xml_folder(self.path)).with_suffix("").as_posix()

    def _pairing(self, path: Path, filename: str, file: Path) -> Finding | None:
        """Note what ``<filename>`` has to do with the image; a finding if it cannot be trusted."""
        first = self._claimed.setdefault(str(path), file)
        if agrees(filename, file):
            return None
        shown = shorten(filename)
        if same_name(path.stem, file.stem):
            what = f"<filename> is {shown}: the image of the XML file's own name is taken"
            self.notes.add("other-filename", file, what, "filename")
            return None
        if not os.path.isfile(path):
            return None
        # Two XML files that name one image are as bad as one that names another's.
        own = file.with_name(f"{path.stem}.xml")
        other = own if own.is_file() else first
        if other != file:
            cause = f"no image is called {file.stem}, and {shown} is that of {other}"
            return Finding("ambiguous-image", str(file), "filename", cause)
        what = f"no image is called {file.stem}: {shown}, which <filename> says, is taken"
        self.notes.add("other-filename", file, what, "filename")
        return None

    def _object(self, item: "Element", file: Path, where: str) -> Annotation | Finding:
        name = as_name(text(item, "name"))
        if name is None:
            return Finding("malformed-object", str(file), where, "it has no <name>")
        where = f"{where} ({shorten(name)})"
        index = self.class_index(name)
        if index is None:
            return self.unknown_class(name, file, where)
        box = box_of(item)
        if box is None:
            found = {corner: text(item, f"bndbox/{corner}") for corner in CORNERS}
            cause = f"<bndbox> must hold the numbers {', '.join(CORNERS)}, got {found}"
            return Finding("malformed-object", str(file), where, cause)
        difficult = as_flag(text(item, "difficult"))
        if difficult is None:
            cause = f"<difficult> must be 0 or 1, got {shorten(text(item, 'difficult'))}"
            return Finding("malformed-object", str(file), where, cause)
        return Annotation(box, index, difficult, box_area(box), where)
