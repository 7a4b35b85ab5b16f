"""Pascal VOC's XML files: which there are, and what is in them."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import defusedxml
from defusedxml import ElementTree

from vfnet_d2.data.formats.files import (
    files_in,
    fold,
    images_in,
    left_out_findings,
    listed,
    same_name,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.records import BoxCorners
from vfnet_d2.data.formats.values import as_name, as_number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def parse(file: Path) -> "Element | Finding":
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


def text(item: "Element", path: str) -> str:
    """The stripped text of a descendant; "" if there is none."""
    return (item.findtext(path) or "").strip()


def box(item: "Element") -> BoxCorners | None:
    """The corners of an object, counted from 0; None where they are not four numbers."""
    values = [as_number(text(item, f"bndbox/{corner}")) for corner in CORNERS]
    left, top, right, bottom = (float("nan") if value is None else value for value in values)
    return None if None in values else (left - 1, top - 1, right, bottom)


def names_in(files: Iterable[Path]) -> Iterator[str]:
    """The class names in XML files; those that cannot be read have none."""
    for file in files:
        tree = parse(file)
        if not isinstance(tree, Finding):
            names = (as_name(text(item, "name")) for item in tree.findall("object"))
            yield from (name for name in names if name is not None)


def agrees(filename: str, file: Path) -> bool:
    """Whether ``<filename>`` is empty or has the XML file's own name, whatever its suffix."""
    base = filename.replace("\\", "/").rpartition("/")[2]
    return not base or same_name(file.stem, base, os.path.splitext(base)[0])


def xml_folder(folder: Path) -> Path:
    """The folder of the XML files of a dataset."""
    annotations = folder / "Annotations"
    return annotations if annotations.is_dir() else folder


def xml_files(folder: Path) -> list[Path]:
    """The XML files of a dataset; those beside images stand in one folder."""
    home = xml_folder(folder)
    return files_in(home, "*.xml" if home == folder else "**/*.xml")


def has_xml(folder: Path) -> bool:
    """Whether a folder has XML files."""
    return bool(files_in(folder, "**/*.xml" if folder.name == "Annotations" else "*.xml"))


def split_list(path: Path, split: str) -> Path:
    """The file that lists the XML files of a split."""
    return path / "ImageSets" / "Main" / f"{split}.txt"


def without_xml(home: Path, folder: Path, used: Collection[str]) -> Iterator[Finding]:
    """Yield findings that name the files in a folder of images which no XML file belongs to.

    Args:
        home: the folder of images.
        folder: of the dataset.
        used: real paths of the images that XML files belong to.
    """
    yield from left_out_findings(home)
    stems = {_key(file.relative_to(xml_folder(folder))) for file in xml_files(folder)}
    alone = [
        path.relative_to(home)
        for path in images_in(home)
        if os.path.realpath(path) not in used and _key(path.relative_to(home)) not in stems
    ]
    if alone:
        cause = f"{listed(list(map(str, alone)))}: no XML file belongs to it"
        yield Finding("left-out-file", str(home), "", cause)


def _key(path: Path) -> str:
    """What an image and its XML file have in common."""
    return fold(path.with_suffix("").as_posix())
