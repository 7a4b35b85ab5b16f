"""Shifting an image within its frame (YOLOF, CVPR 2021, Sec. 5.1)."""

import numpy as np
from detectron2.data.transforms import Augmentation, NoOpTransform, Transform

from vfnet_d2.augmentation.registry import AUGMENTATION_REGISTRY

# A box that a shift leaves narrower or lower, in pixels, goes.
MIN_SIDE = 1.0


class ShiftTransform(Transform):
    """Move an image's content within a frame of the same size; what enters is 0.

    Args:
        dx: pixels to the right.
        dy: pixels downwards.
        height: of the image.
        width: of the image.
    """

    def __init__(self, dx: int, dy: int, height: int, width: int) -> None:
        super().__init__()
        self.dx, self.dy = dx, dy
        self.height, self.width = height, width

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Move pixels (H, W) or (H, W, C)."""
        moved = np.zeros_like(img)
        to_y, from_y = _overlap(self.dy, self.height)
        to_x, from_x = _overlap(self.dx, self.width)
        moved[to_y, to_x] = img[from_y, from_x]
        return moved

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Move points (P, 2)."""
        return coords + np.array([self.dx, self.dy], dtype=coords.dtype)

    def apply_box(self, box: np.ndarray) -> np.ndarray:
        """Move boxes (P, 4) and clip them; those with a side of a pixel or less become empty."""
        moved = np.asarray(box, dtype=np.float64) + [self.dx, self.dy] * 2
        moved = moved.clip(0, [self.width, self.height] * 2)
        lost = ~_stays(moved)
        moved[lost, 2:] = moved[lost, :2]
        return moved

    def inverse(self) -> Transform:
        """Return the shift back; what left the frame stays lost."""
        return ShiftTransform(-self.dx, -self.dy, self.height, self.width)


@AUGMENTATION_REGISTRY.register()
class RandomShift(Augmentation):
    """Shift an image by whole pixels, unless no box would stay.

    Boxes move along, are clipped to the image, and go where a side is left a pixel or less.

    Args:
        prob: of a shift, in [0, 1].
        max_shift: largest shift along x and along y, in pixels; all up to it are equally likely.
    """

    def __init__(self, *, prob: float = 0.5, max_shift: int = 32) -> None:
        super().__init__()
        if not 0 <= prob <= 1 or max_shift < 0:
            raise ValueError(
                f"RandomShift: prob ({prob}) must lie in 0..1, and max_shift ({max_shift} pixels) "
                "must be 0 or more"
            )
        self.prob = prob
        self.max_shift = max_shift

    def get_transform(self, image: np.ndarray, boxes: np.ndarray) -> Transform:
        """Draw a shift.

        Args:
            image: (H, W, C).
            boxes: (P, 4) in pixels.
        """
        if np.random.uniform() >= self.prob:
            return NoOpTransform()
        dx, dy = np.random.randint(-self.max_shift, self.max_shift + 1, size=2).tolist()
        shift = ShiftTransform(dx, dy, *image.shape[:2])
        return shift if _stays(shift.apply_box(boxes)).any() else NoOpTransform()


def _stays(boxes: np.ndarray) -> np.ndarray:
    """Mask (P,) of the boxes (P, 4) that are large enough."""
    return ((boxes[:, 2:] - boxes[:, :2]) > MIN_SIDE).all(axis=1)


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where, along an axis, the content that stays goes to, and where it comes from."""
    length = max(size - abs(shift), 0)
    start = max(shift, 0)
    return slice(start, start + length), slice(max(-shift, 0), max(-shift, 0) + length)
