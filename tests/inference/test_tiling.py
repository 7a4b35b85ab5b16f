"""Tests of vfnet_d2.inference.tiling."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data.transforms import AugmentationList
from detectron2.structures import Boxes, Instances, pairwise_iou
from hypothesis import given, settings
from hypothesis import strategies as st

import vfnet_d2
from tests.helpers.predicting import (
    RectangleFinder,
    assert_identical,
    noise,
    rectangles,
    shapes_canvas,
)
from tests.helpers.quick_model import quick_model
from vfnet_d2.inference.plain import PlainInference
from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.inference.tiling import TiledInference, tile_starts

CHECKPOINT = Path(vfnet_d2.__file__).parent / "assets" / "vfnet_shapes.pth"
# Tiles of 100 begin at 0, 80, 160, 200 along 300 pixels when they overlap by at least 20.
SIZE = (300, 300)


def found_in(image: np.ndarray, finder: RectangleFinder, **options: float) -> list[tuple]:
    """Boxes with their class, in reading order."""
    settings_ = {"tile": 100, "overlap": 0.2, **options}
    (found,) = TiledInference(finder, **settings_)([image])
    boxes = found.pred_boxes.tensor.int().tolist()
    rows = zip(boxes, found.pred_classes.tolist(), strict=True)
    return sorted((*box, category) for box, category in rows)


@settings(deadline=None)
@given(
    length=st.integers(1, 500),
    tile=st.integers(1, 200),
    overlap=st.sampled_from([0, 0.2, 0.5, 0.9]),
)
def test_tiles_cover_a_side_and_overlap_enough(length: int, tile: int, overlap: float) -> None:
    starts = tile_starts(length, tile=tile, overlap=overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(1 <= gap <= max(1, tile * (1 - overlap)) for gap in gaps)


def test_no_more_tiles_than_needed() -> None:
    # Steps of 80 need three to get from 0 to 200, evenly 66.7.
    assert tile_starts(300, tile=100, overlap=0.2) == [0, 66, 133, 200]


def test_one_tile_is_the_plain_prediction() -> None:
    image = noise(250, 173)
    plain = PlainInference(quick_model().eval(), resize=AugmentationList([]))
    tiled = TiledInference(plain, tile=250)
    assert_identical(tiled([image])[0], plain([image])[0])


def test_every_object_below_the_overlap_is_found_once_and_whole() -> None:
    # A grid of objects of 16 pixels, every 23: many lie on borders, none is larger than 20.
    boxes = [(x, y, x + 16, y + 16) for x in range(3, 280, 23) for y in range(3, 280, 23)]
    finder = RectangleFinder(smallest=0.1)
    assert found_in(rectangles(SIZE, boxes), finder) == sorted((*box, 0) for box in boxes)
    assert finder([rectangles(SIZE, boxes)])[0].pred_boxes.tensor.shape == (0, 4)


def test_an_object_larger_than_the_tiles_is_found_once_and_whole() -> None:
    box = (20, 30, 270, 200)
    assert found_in(rectangles(SIZE, [box]), RectangleFinder()) == [(*box, 0)]


def test_what_nothing_shows_whole_stays_as_parts() -> None:
    # 250 of 300 pixels wide: missed in the whole image, and no tile shows more than 100 of it.
    image = rectangles((60, 300), [(20, 20, 270, 40)])
    found = found_in(image, RectangleFinder(smallest=0.95), overlap=0.0)
    assert found == [(100, 20, 200, 40, 0)]


class Scripted:
    """Gives the same boxes, x1, y1, x2, y2 and perhaps class, for every image of a size."""

    def __init__(self, boxes: dict[tuple[int, int], list[list[int]]]) -> None:
        self.boxes = boxes

    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """See Inference."""
        results = []
        for image in images:
            rows = self.boxes[image.shape[:2]]
            boxes = torch.tensor([row[:4] for row in rows]).reshape(-1, 4).float()
            found = Instances(image.shape[:2], pred_boxes=Boxes(boxes))
            found.scores = torch.full((len(boxes),), 0.5)
            classes = [row[4] if len(row) > 4 else 0 for row in rows]
            found.pred_classes = torch.tensor(classes, dtype=torch.long)
            results.append(found)
        return results


def scripted(boxes: dict[tuple[int, int], list[list[int]]]) -> list[list[int]]:
    """Results for an image 180 wide and 60 high, which are the tiles 0..100 and 80..180."""
    image = np.zeros((60, 180, 3), dtype=np.uint8)
    (found,) = TiledInference(Scripted(boxes), tile=100)([image])
    return sorted(found.pred_boxes.tensor.int().tolist())


def test_only_borders_inside_the_image_cut() -> None:
    # All of 30 x 30 and inside the large box, which the whole image shows. In the left tile the
    # first is at the image's border and whole, the second is at the tile's, and a part; in the
    # right tile it is the other way round.
    large = [0, 0, 180, 60]
    tile = [[0, 10, 30, 40], [70, 10, 100, 40]]
    found = scripted({(60, 180): [large], (60, 100): tile})
    assert found == sorted([large, [0, 10, 30, 40], [150, 10, 180, 40]])


def test_the_whole_image_is_asked_for_large_objects_only() -> None:
    # Of 20 pixels and less, what tiles overlap by, it may show anything.
    found = scripted({(60, 180): [[40, 5, 60, 25], [100, 5, 121, 26]], (60, 100): []})
    assert found == [[100, 5, 121, 26]]


def test_objects_of_other_classes_cover_nothing() -> None:
    # The first tile's part has what covers it in class 1, the second's in class 0, its own.
    whole = [[0, 0, 90, 60, 1], [93, 0, 180, 60, 0]]
    found = scripted({(60, 180): whole, (60, 100): [[70, 10, 100, 40, 0], [0, 10, 30, 40, 0]]})
    # In the image, the parts at the border of the tiles are 70..100 and 80..110.
    assert [70, 10, 100, 40] in found
    assert [80, 10, 110, 40] not in found


def test_results_are_sorted_by_score() -> None:
    boxes = [(5, 5, 9, 9), (210, 10, 225, 25), (100, 100, 110, 110)]
    (found,) = TiledInference(RectangleFinder(), tile=100)([rectangles(SIZE, boxes)])
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert found.pred_boxes.tensor[0].tolist() == [210, 10, 225, 25]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_tiles_come_in_batches(batch_size: int) -> None:
    sizes: list[int] = []

    class Counting(RectangleFinder):
        def __call__(self, images):
            sizes.append(len(images))
            return super().__call__(images)

    TiledInference(Counting(), tile=100, batch_size=batch_size)([rectangles(SIZE, [])])
    # The whole image, then 16 tiles.
    assert sizes[0] == 1
    assert sum(sizes[1:]) == 16
    assert max(sizes[1:]) == min(batch_size, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tile": 0}, "side is 0"), ({"tile": 9, "overlap": 1.0}, r"overlap is 1\.0")],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TiledInference(RectangleFinder(), **options)


@pytest.mark.slow
def test_tiles_find_small_objects_that_the_whole_image_hides() -> None:
    # 25 x 19 images of 160 pixels, cut to 4000 x 3000. At the test size of the checkpoint, a
    # shorter side of 224 pixels, less than 3 of 32 pixels are left; a tile of 320 leaves 22.
    canvas, boxes, classes = shapes_canvas(25, 19)
    canvas = canvas[:3000]
    small = ((boxes[:, 2:] - boxes[:, :2]).prod(dim=1) < 32**2) & (boxes[:, 3] <= 3000)
    recall = {}
    for tile in (None, 320):
        predictor = Predictor(
            CHECKPOINT, device="cpu", score_threshold=0.3, tile=tile, batch_size=8
        )
        found = predictor(canvas, channel_order="RGB")
        iou = pairwise_iou(Boxes(boxes[small]), found.pred_boxes)
        hit = (iou >= 0.5) & (classes[small][:, None] == found.pred_classes)
        recall[tile] = hit.any(dim=1).float().mean().item()
    assert canvas.shape == (3000, 4000, 3)
    assert small.sum() > 1000
    assert recall[None] < 0.01
    assert recall[320] > 0.4
