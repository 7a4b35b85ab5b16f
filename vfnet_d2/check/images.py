"""What can be wrong with image files: read once, in parallel."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from vfnet_d2.data.formats.files import EXIF_ORIENTATION, SWAPPING
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.records import ImageRecord

_MOST_WORKERS = 16
# Modes that Detectron2 turns into RGB by cutting values off at 255.
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class ImageFacts(NamedTuple):
    """What reading an image file shows.

    Attributes:
        stored: width and height of the pixels in the file; (0, 0) if unreadable.
        orientation: of EXIF, 1 to 8; 1 is upright.
        digest: of the file's content; "" if it was not read as a whole.
        problem: code and cause if the file cannot be used, or is unusual; else None.
    """

    stored: tuple[int, int] = (0, 0)
    orientation: int = 1
    digest: str = ""
    problem: tuple[str, str] | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as EXIF wants the image shown, and as Detectron2 reads it."""
        width, height = self.stored
        return (height, width) if self.orientation in SWAPPING else (width, height)


def inspect_image(path: str, *, decode: bool) -> ImageFacts:
    """Read an image file.

    Args:
        path: of the file.
        decode: also decode all pixels and compute the digest; else read the header alone.
    """
    if not os.path.isfile(path):
        return ImageFacts(problem=("missing-image", _missing_cause(Path(path))))
    digest, facts = "", ImageFacts()
    try:
        data = Path(path).read_bytes() if decode else b""
        digest = hashlib.blake2b(data, digest_size=16).hexdigest() if decode else ""
        with Image.open(BytesIO(data) if decode else path) as image:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            orientation = orientation if orientation in range(1, 9) else 1
            facts = ImageFacts(image.size, orientation, digest)
            if decode:
                image.load()
            if image.mode in _DEEP_MODES:
                cause = f"its pixels have the mode {image.mode!r}, expected 8 bits"
                facts = facts._replace(problem=("unusual-pixels", cause))
    # Pillow's plugins raise many kinds of errors for damaged files.
    except Exception as error:
        return ImageFacts(digest=digest, problem=_reading_problem(path, error))
    return facts


def inspect_images(
    paths: Sequence[str], *, decode: bool, workers: int | None = None
) -> list[ImageFacts]:
    """Read image files in parallel, with a progress bar in a terminal.

    Args:
        paths: of the files.
        decode: as above.
        workers: threads, which decoding keeps busy since it runs without the interpreter's lock;
            None takes one per available core, at most 16.
    """
    if workers is None:
        affinity = getattr(os, "sched_getaffinity", None)  # Linux only; knows a container's limits
        workers = min(len(affinity(0)) if affinity else os.cpu_count() or 1, _MOST_WORKERS)
    with warnings.catch_warnings(), ThreadPoolExecutor(max(workers, 1)) as pool:
        # What Pillow would warn of is reported as findings, or unimportant for detection.
        warnings.simplefilter("ignore")
        results = pool.map(partial(inspect_image, decode=decode), paths)
        bar = tqdm(results, total=len(paths), desc="Reading images", unit="image", disable=None)
        return list(bar)


def image_findings(record: ImageRecord, facts: ImageFacts) -> Iterator[Finding]:
    """Yield what is wrong with an image, and with its recorded size."""
    place = f"named in {record.file}" if record.file != record.path else ""
    place = ", ".join(filter(None, (place, record.where)))
    if facts.problem is not None:
        yield Finding(facts.problem[0], record.path, place, facts.problem[1])
    if facts.stored == (0, 0):
        return
    recorded = (record.width, record.height)
    stored, upright = (f"{w} x {h}" for w, h in (facts.stored, facts.upright))
    annotated = f"the annotations say {record.width} x {record.height}"
    if recorded != facts.upright:
        if recorded == facts.stored:
            cause = f"{annotated}, as stored; upright it is {upright}"
            yield Finding("exif-swaps-sides", record.path, place, cause)
        else:
            yield Finding("size-mismatch", record.path, place, f"it is {upright}, {annotated}")
    elif facts.orientation != 1:
        cause = f"EXIF orientation {facts.orientation}, stored as {stored}, upright {upright}"
        yield Finding("exif-rotated", record.path, place, cause)


def _missing_cause(path: Path) -> str:
    """Say which file of nearly the same name there is, if any."""
    if not os.path.isdir(path.parent):
        return f"the folder {path.parent} does not exist"
    stem = path.stem.casefold()
    near = sorted(p.name for p in path.parent.iterdir() if p.stem.casefold() == stem)
    return f"there is no such file, but {near[0]}" if near else "there is no such file"


def _reading_problem(path: str, error: Exception) -> tuple[str, str]:
    """Code and cause of an error while reading an image."""
    message = str(error)
    if isinstance(error, Image.DecompressionBombError):
        pixels = re.search(r"\d+", message)
        count = f"{int(pixels.group()):,}" if pixels else "too many"
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return "decompression-bomb", f"it has {count} pixels, more than the limit of {limit:,}"
    if not os.path.getsize(path):
        return "unreadable-image", "the file is empty"
    if isinstance(error, Image.UnidentifiedImageError):
        return "unreadable-image", f"no image format that Pillow knows{_looks_like(path)}"
    if "truncated" in message.lower():
        return "truncated-image", message
    return "unreadable-image", message or type(error).__name__


def _looks_like(path: str) -> str:
    """What a file that is no image starts with, where that is telling."""
    with open(path, "rb") as file:
        head = file.read(64).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "; it is a web page"
    return "; it is a pointer of Git LFS" if head.startswith(b"version https://git-lfs") else ""
