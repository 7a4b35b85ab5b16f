"""The neutral form of a dataset: what every reader yields and every writer takes."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vfnet_d2.data.formats.findings import Finding

BoxCorners = tuple[float, float, float, float]

# A coordinate that should be a part of the image size and is larger than this is in other units;
# a smaller one may belong to a box that reaches beyond its image.
LARGEST_NORMALISED = 2.0


class Annotation(NamedTuple):
    """One object of an image.

    Attributes:
        box: x1, y1, x2, y2 in pixels; 0 is the left or upper edge of the first pixel. As found,
            so it may be not finite, inverted or outside the image.
        class_index: position in the reader's class list.
        iscrowd: neither trained on nor counted in evaluation (COCO's crowds, VOC's difficult).
        area: in square pixels, for COCO's size ranges.
        where: place in the annotation file, for messages.
        annotation_id: of the format, or None where it has none.
    """

    box: BoxCorners
    class_index: int
    iscrowd: bool
    area: float
    where: str
    annotation_id: int | None = None


class ImageRecord(NamedTuple):
    """One image with its objects.

    Attributes:
        path: of the image file; it need not exist.
        width: in pixels, as the annotations say, else of the upright image; 0 if unknown.
        height: likewise.
        annotations: its objects.
        image_id: of the format, or counted from 1.
        file: the annotation file.
        where: place in it, for messages.
        normalised: whether the format gives boxes as parts of the image size.
    """

    path: str
    width: int
    height: int
    annotations: tuple[Annotation, ...]
    image_id: int
    file: str
    where: str
    normalised: bool


# A reader yields images and what it found wrong, in the order of the files.
Reading = ImageRecord | Finding


def records_of(readings: Iterable[Reading]) -> Iterator[ImageRecord]:
    """The images among what a reader yields."""
    return (reading for reading in readings if isinstance(reading, ImageRecord))


def findings_of(readings: Iterable[Reading]) -> Iterator[Finding]:
    """The findings among what a reader yields."""
    return (reading for reading in readings if isinstance(reading, Finding))


def box_area(box: BoxCorners) -> float:
    """Width times height, in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])
