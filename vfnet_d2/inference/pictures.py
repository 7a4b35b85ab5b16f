"""Predictions drawn onto images and videos."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import Instances
from PIL import Image

from vfnet_d2.inference.sources import Frame
from vfnet_d2.inference.writers import PICTURES, OutputNames
from vfnet_d2.utils.files import put_in_place, replacing
from vfnet_d2.visualization.pictures import draw_detections

_JPEG = (".jpg", ".jpeg")
_JPEG_QUALITY = 95


class PictureWriter:
    """``pictures/``: a picture for each image, a video for each video or camera.

    JPEG pictures for JPEG images, PNG for others; videos are MP4.

    Args:
        names: of the outputs.
        metadata: class names, for Detectron2's ``Visualizer``.
        input_format: "RGB" or "BGR", of the frames.
        scale: enlargement.
    """

    def __init__(
        self, names: OutputNames, *, metadata: Any, input_format: str, scale: float = 1.0
    ) -> None:
        self._names = names
        self._metadata = metadata
        self._input_format = input_format
        self._scale = scale
        self._video: _Video | None = None

    def add(self, frame: Frame, detections: Instances) -> None:
        """See :class:`~vfnet_d2.inference.writers.PredictionWriter`."""
        image = frame.image if self._input_format == "RGB" else frame.image[:, :, ::-1]
        picture = draw_detections(image, detections, self._metadata, scale=self._scale)
        if frame.number is None:
            jpeg = frame.source.path.lower().endswith(_JPEG)
            path = self._names.path(PICTURES, frame.source, ".jpg" if jpeg else ".png")
            with replacing(path) as scratch:
                options = {"quality": _JPEG_QUALITY} if jpeg else {}
                Image.fromarray(picture).save(scratch, "JPEG" if jpeg else "PNG", **options)
            return
        path = self._names.path(PICTURES, frame.source, ".mp4")
        if self._video is not None and self._video.path != path:
            self._video.finish()
            self._video = None
        if self._video is None:
            self._video = _Video(path, rate=frame.rate, size=picture.shape[:2])
        self._video.add(picture)

    def finish(self) -> Path:
        """See :class:`~vfnet_d2.inference.writers.PredictionWriter`."""
        if self._video is not None:
            self._video.finish()
            self._video = None
        return self._names.folder / PICTURES

    def discard(self) -> None:
        """See :class:`~vfnet_d2.inference.writers.PredictionWriter`."""
        if self._video is not None:
            self._video.discard()


class _Video:
    """An MP4 file that appears when it is complete.

    Args:
        path: of the file.
        rate: frames a second.
        size: height and width of all frames.

    Raises:
        OSError: OpenCV cannot write it.
    """

    def __init__(self, path: Path, *, rate: float, size: tuple[int, ...]) -> None:
        import cv2

        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # OpenCV looks at the ending.
        self._scratch = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
        code = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined]
        self._writer = cv2.VideoWriter(str(self._scratch), code, rate, (size[1], size[0]))
        if not self._writer.isOpened():
            raise OSError(f"OpenCV cannot write the video {path}; use --skip-pictures")

    def add(self, picture: np.ndarray) -> None:
        """Append a frame (H, W, 3), RGB."""
        self._writer.write(np.ascontiguousarray(picture[:, :, ::-1]))

    def finish(self) -> None:
        """Complete the file."""
        self._writer.release()
        put_in_place(self._scratch, self.path)

    def discard(self) -> None:
        """Remove what is there."""
        self._writer.release()
        self._scratch.unlink(missing_ok=True)
