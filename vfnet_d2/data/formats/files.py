"""What all readers do with files: text, image sizes, and paths that stay below a root."""

import json
import os
import reprlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vfnet_d2.data.formats.findings import Finding

_COMMON_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
IMAGE_SUFFIXES = (*_COMMON_SUFFIXES, ".jfif", ".jpe", ".jp2", ".avif")
# What stands beside images and is no image: annotations, and what systems and tools leave.
_BESIDE_IMAGES: tuple[str, ...] = (
    ".txt",
    ".xml",
    ".json",
    ".jsonl",
    ".yaml",
    ".yml",
    ".csv",
    ".md",
    ".cache",
)
_BESIDE_IMAGES += (".html", ".pkl", ".npy", ".npz", "thumbs.db", "desktop.ini", ".data", ".names")
_NAMED = 10
EXIF_ORIENTATION = 0x0112
# EXIF orientations that exchange width and height.
SWAPPING = (5, 6, 7, 8)

_LONGEST = 100
# Bounded in depth too: aliases make a small YAML file a very large value.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 3, 6, 6, 60, 60


class UnreadableFileError(Exception):
    """A file's text cannot be read; the message is the cause."""


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        UnreadableFileError: it cannot be opened, or is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}"
        ) from error


def parse_json(text: str) -> Any:
    """Parse JSON, in which NaN and Infinity are allowed.

    Raises:
        UnreadableFileError: it is no JSON; names line and column.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableFileError(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise UnreadableFileError(f"not usable JSON: {error}") from error


def shorten(value: object) -> str:
    """A value as short text for a message, however large or nested it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def below(root: Path, name: str) -> Path | None:
    """Join ``name`` to ``root``; None where the result is not below it.

    Ask ``os.path`` whether the result exists: methods of ``Path`` raise where a name is too long.
    Links inside the root are followed as they are: many datasets consist of links.
    """
    if "\0" in name:
        return None
    base = os.path.abspath(root)
    path = os.path.normpath(os.path.join(root, name))
    return Path(path) if os.path.commonpath([base, os.path.abspath(path)]) == base else None


def leaves_root(name: str, root: Path, file: Path, where: str) -> Finding:
    """The finding for a path that :func:`below` refuses."""
    return Finding(
        "path-leaves-root", str(file), where, f"{shorten(name)} is not below the folder {root}"
    )


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as EXIF wants it shown, from its header; (0, 0) if unreadable.

    Detectron2 reads images upright, so these are the sides that boxes refer to.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(EXIF_ORIENTATION) in SWAPPING
    # Pillow's plugins raise many kinds of errors for damaged headers.
    except Exception:
        return 0, 0
    return (height, width) if turned else (width, height)


def fold(name: str) -> str:
    """What names have in common that differ in case or Unicode's form alone."""
    return unicodedata.normalize("NFC", name).casefold()


def same_name(name: str, *others: str) -> bool:
    """Whether a file name is one of others, but for case and Unicode's form."""
    return fold(name) in map(fold, others)


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The files that fit a pattern, sorted by path; those that systems hide are passed over."""
    return sorted(path for path in folder.glob(pattern) if not hidden(path, folder))


def hidden(path: Path, folder: Path) -> bool:
    """Whether a file, or its folder below ``folder``, is one that no person made: macOS's."""
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def images_in(folder: Path) -> list[Path]:
    """All image files below a folder, sorted by path."""
    return [path for path in files_in(folder, "**/*") if path.suffix.lower() in IMAGE_SUFFIXES]


def left_out(names: Iterable[str]) -> list[str]:
    """Names of files among images that are none, and no annotations either: they are said."""
    passed = (*IMAGE_SUFFIXES, *_BESIDE_IMAGES)
    return [
        name
        for name in names
        if not os.path.basename(name).startswith(".") and not name.lower().endswith(passed)
    ]


def left_out_findings(folder: Path) -> Iterator[Finding]:
    """Yield a finding that names files below a folder of images that are not read."""
    files = [path for path in files_in(folder, "**/*") if path.is_file()]
    names = left_out(str(path.relative_to(folder)) for path in files)
    if names:
        yield Finding("left-out-file", str(folder), "", f"{listed(names)}: not read as an image")


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first ten, and how many more."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
