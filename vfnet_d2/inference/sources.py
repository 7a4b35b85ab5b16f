"""What a command line names as input: images, folders, patterns, videos and cameras, as frames."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vfnet_d2.data.formats.files import IMAGE_SUFFIXES, left_out, listed
from vfnet_d2.inference.images import ImageError, load_image

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
# Of cameras, which often do not say it.
_FRAMES_A_SECOND = 25.0


class Source(NamedTuple):
    """Something that has frames.

    Attributes:
        kind: "image", "video" or "camera".
        path: of the file, or the camera's number.
    """

    kind: str
    path: str


class Frame(NamedTuple):
    """An image, or one of a video.

    Attributes:
        source: where it is from.
        number: counts the frames of a video or camera from 0; None for an image.
        image: (H, W, 3) uint8 in the channel order asked for.
        rate: frames a second; 0 for an image.
    """

    source: Source
    number: int | None
    image: np.ndarray
    rate: float

    @property
    def label(self) -> str:
        """The file, and the frame in it."""
        return self.source.path if self.number is None else f"{self.source.path}#{self.number:06d}"


class Skipped(NamedTuple):
    """A source that could not be read.

    Attributes:
        source: which.
        cause: why.
    """

    source: Source
    cause: str


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Return what is meant, each once, in the order given; within a folder or pattern by name.

    Args:
        inputs: files, folders (the images and videos right inside), patterns with ``*`` (``**``
            for any depth), or numbers of cameras.

    Raises:
        FileNotFoundError: one of them means nothing.
    """
    found: dict[Source, None] = {}
    for text in inputs:
        sources = _expand(text)
        if not sources:
            endings = ", ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
            raise FileNotFoundError(f"input {text} has no images or videos; known are {endings}")
        found.update(dict.fromkeys(sources))
    return list(found)


def _expand(text: str) -> list[Source]:
    if os.path.isfile(text):
        return [_file(text)]
    if os.path.isdir(text):
        return _known(os.path.join(text, name) for name in sorted(os.listdir(text)))
    if text.isdigit():
        return [Source("camera", text)]
    if glob.has_magic(text):
        return _known(sorted(glob.glob(text, recursive=True)))
    raise FileNotFoundError(
        f"input {text} does not exist; expected an image, a video, a folder, a pattern such as "
        "'photos/*.jpg', or the number of a camera"
    )


def _known(paths: Iterable[str]) -> list[Source]:
    endings = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    return [
        _file(path)
        for path in paths
        if path.lower().endswith(endings)
        and not os.path.basename(path).startswith(".")  # macOS's ._a.jpg is no picture
        and os.path.isfile(path)
    ]


def left_out_of(inputs: Sequence[str]) -> list[str]:
    """Return a sentence for each folder or pattern of which files are left out; it names them.

    Args:
        inputs: as for :func:`find_sources`.
    """
    said = []
    for text in inputs:
        names: list[str] = []
        if os.path.isdir(text):
            names = [n for n in sorted(os.listdir(text)) if os.path.isfile(os.path.join(text, n))]
        elif not os.path.exists(text) and glob.has_magic(text):
            names = sorted(filter(os.path.isfile, glob.glob(text, recursive=True)))
        names = [name for name in left_out(names) if not name.lower().endswith(VIDEO_SUFFIXES)]
        if names:
            endings = ", ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
            said.append(
                f"left out of {text}, since no suffix of an image or video is theirs: "
                f"{listed(names)}. Convert pictures among them; known are {endings}"
            )
    return said


def _file(path: str) -> Source:
    return Source("video" if path.lower().endswith(VIDEO_SUFFIXES) else "image", path)


def read_frames(
    sources: Sequence[Source], *, input_format: str, max_frames: int | None = None
) -> Iterator[Frame | Skipped]:
    """Read everything once; what cannot be read is said and skipped.

    Args:
        sources: see :func:`find_sources`.
        input_format: "RGB" or "BGR", of the frames.
        max_frames: most frames of each video or camera.
    """
    for source in sources:
        try:
            if source.kind == "image":
                image = load_image(source.path, input_format=input_format)
                yield Frame(source, None, image, 0.0)
            else:
                yield from _read_video(source, input_format=input_format, max_frames=max_frames)
        except (ImageError, OSError) as error:
            yield Skipped(source, str(error))


def _read_video(source: Source, *, input_format: str, max_frames: int | None) -> Iterator[Frame]:
    """Frames of a video file or camera.

    Raises:
        ImageError: OpenCV is not there, or cannot open the source or read one frame of it.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImageError(
            f"{source.path}: videos and cameras need OpenCV; install opencv-python-headless"
        ) from error
    what = int(source.path) if source.kind == "camera" else source.path
    capture = cv2.VideoCapture(what)
    try:
        if not capture.isOpened():
            raise ImageError(f"{source.kind} {source.path} cannot be opened by OpenCV")
        rate = capture.get(cv2.CAP_PROP_FPS) or _FRAMES_A_SECOND
        number = 0
        while max_frames is None or number < max_frames:
            there, image = capture.read()
            if not there:
                break
            image = load_image(image, input_format=input_format, channel_order="BGR")
            yield Frame(source, number, image, rate)
            number += 1
        if number == 0:
            raise ImageError(f"{source.kind} {source.path} has no frame that OpenCV can read")
    finally:
        capture.release()


def stem_of(source: Source) -> str:
    """Name of a source without folder and ending."""
    return f"camera_{source.path}" if source.kind == "camera" else Path(source.path).stem
