"""Parts of Pascal VOC's XML files."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import defusedxml
from defusedxml import ElementTree

from vfnet_d2.data.formats.files import same_name
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
