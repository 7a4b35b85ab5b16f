"""The order of class names, which decides their indices, told in this one place.

1. The format's own list: COCO's categories by id, ``names`` of YOLO's data.yaml.
2. Else ``classes.txt`` or ``labels.txt`` in the dataset's folder, one name a line.
3. Else the names in the annotations, sorted by code point, over all splits: training and
   validation set agree, and another image does not change the order unless it has a new class.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vfnet_d2.data.formats.files import UnreadableFileError, read_text
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.values import as_name

CLASS_FILES = ("classes.txt", "labels.txt")


def class_file(folder: Path) -> Path | None:
    """The file of class names in a folder, if there is one."""
    return next((folder / name for name in CLASS_FILES if (folder / name).is_file()), None)


def listed_classes(folder: Path) -> tuple[str, ...]:
    """The names in the folder's class file; () without one, or if it cannot be read."""
    path = class_file(folder)
    if path is None:
        return ()
    try:
        lines = read_text(path).splitlines()
    except UnreadableFileError:
        return ()
    return tuple(name for line in lines if (name := as_name(line)) is not None)


def sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in the order of rule 3."""
    return tuple(sorted({name for text in names if (name := as_name(text)) is not None}))


def class_list_findings(names: Sequence[str], file: Path) -> list[Finding]:
    """What is wrong with a list of class names: none, or one twice."""
    if not names:
        return [Finding("no-classes", str(file), "", "the dataset names no classes")]
    findings = []
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            cause = f"class {name!r} has the indices {seen[name]} and {index}"
            findings.append(Finding("duplicate-class", str(file), "", cause))
        seen.setdefault(name, index)
    return findings
