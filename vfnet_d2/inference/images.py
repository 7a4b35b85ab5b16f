"""Images of any source as arrays in the channel order of a model."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import detection_utils
from PIL import Image, ImageOps

ORDERS = ("RGB", "BGR")
ImageSource = str | Path | Image.Image | np.ndarray


class ImageError(ValueError):
    """An image that cannot be used; the message says which and why."""


def load_image(
    source: ImageSource, *, input_format: str, channel_order: str | None = None
) -> np.ndarray:
    """Return an image (H, W, 3), uint8, turned upright by its EXIF orientation.

    Args:
        source: path of a file, PIL image, or array (H, W, 3) of uint8.
        input_format: "RGB" or "BGR", of the result.
        channel_order: the same, of an array; files and PIL images know theirs.

    Raises:
        FileNotFoundError: no such file.
        ImageError: the file cannot be decoded, or the array is no such array.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, input_format=input_format, channel_order=channel_order)
    if isinstance(source, Image.Image):
        upright = ImageOps.exif_transpose(source)
        return np.ascontiguousarray(
            detection_utils.convert_PIL_to_numpy(upright, format=input_format)
        )
    if not os.path.isfile(source):
        raise FileNotFoundError(f"image {source} does not exist")
    try:
        return np.ascontiguousarray(detection_utils.read_image(str(source), format=input_format))
    # A decoder may raise anything on a damaged file.
    except Exception as error:
        raise ImageError(f"{source} cannot be read as an image: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image format that Pillow knows"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _from_array(
    image: np.ndarray[Any, Any], *, input_format: str, channel_order: str | None
) -> np.ndarray:
    if channel_order not in ORDERS:
        raise ImageError(
            f"channel_order is {channel_order!r}; an array does not tell the order of its "
            'channels, so pass channel_order="RGB" (Pillow, imageio) or channel_order="BGR" (cv2)'
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(
            f"the array is of shape {image.shape} and type {image.dtype}; expected (H, W, 3) of "
            "uint8, with values from 0 to 255"
        )
    return np.ascontiguousarray(image if channel_order == input_format else image[:, :, ::-1])
