"""Tests of vfnet_d2.visualization.boxes, and that all pictures of boxes use it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data.catalog import Metadata
from detectron2.structures import Boxes, BoxMode, Instances
from PIL import Image

from tests.helpers.small_datasets import record
from vfnet_d2.check.across import Split
from vfnet_d2.check.images import inspect_images
from vfnet_d2.data.formats.coco import CocoReader
from vfnet_d2.training.hooks.pictures import draw_batch
from vfnet_d2.visualization.boxes import draw_boxes
from vfnet_d2.visualization.datasets import contact_sheet
from vfnet_d2.visualization.palette import class_color
from vfnet_d2.visualization.pictures import draw_detections, draw_ground_truth

# Not the grey of a class.
GREY = np.full((180, 360, 3), 100, dtype=np.uint8)
BOX = [100.0, 60.0, 300.0, 150.0]
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def has_color(picture: np.ndarray, color: tuple[float, float, float]) -> np.ndarray:
    """(H, W) mask of the pixels of a colour, up to the rounding of its channels."""
    return (np.abs(picture / 255 - np.array(color)) < 1.01 / 255).all(axis=2)


def changed(picture: np.ndarray) -> np.ndarray:
    """(H, W) mask of the pixels that are not the image's."""
    return (picture != GREY[0, 0]).any(axis=2)


def test_a_box_is_drawn_where_it_is() -> None:
    rows, columns = np.nonzero(changed(draw_boxes(GREY, np.array([BOX]), [RED])))
    # A line is a few pixels wide, with its middle on the box's edge.
    assert abs(columns.min() - 100) <= 2 and abs(columns.max() - 300) <= 2
    assert abs(rows.min() - 60) <= 2 and abs(rows.max() - 150) <= 2


def test_every_box_has_its_colour_whatever_its_size() -> None:
    small, large = [20.0, 20.0, 40.0, 40.0], [60.0, 30.0, 300.0, 150.0]
    picture = draw_boxes(GREY, np.array([small, large]), [RED, BLUE])
    assert has_color(picture[:, :50], RED).any() and not has_color(picture[:, :50], BLUE).any()
    assert has_color(picture[:, 55:], BLUE).any() and not has_color(picture[:, 55:], RED).any()


def test_a_small_box_is_seen_on_the_edge_of_a_large_one() -> None:
    small, large = [90.0, 90.0, 110.0, 110.0], BOX
    for order in ([small, large], [large, small]):
        colors = [RED if box is small else BLUE for box in order]
        picture = draw_boxes(GREY, np.array(order), colors)
        assert has_color(picture[90:91, 92:108], RED).all()


def test_a_label_stands_on_its_box_on_the_same_colour() -> None:
    picture = draw_boxes(GREY, np.array([BOX]), [RED], ["cat 97%"])
    above = picture[:58]
    assert has_color(above, RED).sum() > 100
    # Black letters: white would have a contrast of 4.0 with pure red, black has 5.3.
    assert has_color(above, (0, 0, 0)).any()
    rows, columns = np.nonzero(changed(above))
    assert abs(columns.min() - 100) <= 1 and rows.min() > 30
    # Nothing of it hides the object.
    assert not changed(picture[64:146, 104:296]).any()


@pytest.mark.parametrize(
    "box",
    [[100, 3, 300, 90], [330, 60, 358, 90], [-40, 60, 20, 90], [100, 170, 200, 220]],
    ids=["top", "right", "left", "bottom"],
)
def test_a_label_at_an_edge_is_whole(box: list[float]) -> None:
    # The same label in the middle tells how wide and high its black letters are.
    def size_of_letters(box: list[float]) -> tuple[int, int]:
        picture = draw_boxes(GREY, np.array([box]), [(0.9, 0.6, 0.1)], ["a long name"])
        rows, columns = np.nonzero((picture < 40).all(axis=2))
        return int(np.ptp(rows)), int(np.ptp(columns))

    # Letters between two pixels are paler, and may seem a pixel smaller on each side.
    assert size_of_letters(box) == pytest.approx(size_of_letters(BOX), abs=2)


def test_a_name_of_a_class_is_no_formula() -> None:
    draw_boxes(GREY, np.array([BOX]), [RED], [r"$\frac{$"])


def test_the_picture_has_the_size_asked_for() -> None:
    assert draw_boxes(GREY, np.zeros((0, 4)), [], scale=2.5).shape == (450, 900, 3)


def test_a_picture_of_nothing_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert np.array_equal(draw_boxes(image, np.array([]), []), image)


def test_drawing_takes_no_random_numbers() -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    draw_boxes(GREY, np.array([BOX]), [RED], ["cat"])
    assert np.array_equal(state, np.random.get_state()[1])


# -- one colour in all pictures -----------------------------------------------------------------

CLASSES = [f"class {number}" for number in range(13)]


def of_detections(path: Path, index: int, metadata: Any) -> np.ndarray:
    found = Instances((180, 360))
    found.pred_boxes = Boxes(torch.tensor([BOX]))
    found.scores, found.pred_classes = torch.tensor([0.9]), torch.tensor([index])
    return draw_detections(GREY, found, metadata)


def of_ground_truth(path: Path, index: int, metadata: Any) -> np.ndarray:
    annotation = {"bbox": BOX, "bbox_mode": BoxMode.XYXY_ABS, "category_id": index}
    return draw_ground_truth({"file_name": str(path), "annotations": [annotation]}, metadata)


def of_batch(path: Path, index: int, metadata: Any) -> np.ndarray:
    truth = Instances((180, 360))
    truth.gt_boxes, truth.gt_classes = Boxes(torch.tensor([BOX])), torch.tensor([index])
    item = {"image": torch.full((3, 180, 360), 100), "instances": truth}
    return draw_batch([item], metadata=metadata, input_format="RGB")


def of_contact_sheet(path: Path, index: int, metadata: Any) -> np.ndarray:
    item = record(path, size=(360, 180), boxes=[tuple(BOX)])
    item = item._replace(annotations=(item.annotations[0]._replace(class_index=index),))
    facts = inspect_images([str(path)], decode=False, workers=1)
    sheet = contact_sheet(Split(CocoReader(Path("x.json"), classes=CLASSES), [item], facts, []))
    assert sheet is not None
    return sheet


@pytest.mark.parametrize("index", [0, 5, 12])
@pytest.mark.parametrize(
    "draw",
    [of_detections, of_ground_truth, of_batch, of_contact_sheet],
    ids=lambda draw: draw.__name__,
)
def test_a_class_has_one_colour_in_every_picture(draw: Any, index: int, tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(GREY).save(path)
    # Colours that a dataset's metadata brings are not ours.
    metadata = Metadata().set(thing_classes=CLASSES, thing_colors=[(1, 2, 3)] * len(CLASSES))
    picture = draw(path, index, metadata)
    others = [i for i in range(13) if i != index]
    assert has_color(picture, class_color(index)).sum() > 200
    assert sum(has_color(picture, class_color(i)).sum() for i in others) < 20
