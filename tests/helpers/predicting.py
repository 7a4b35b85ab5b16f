"""What tests of predictions share: pictures to predict, and comparison to the last bit."""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from scipy import ndimage

from vfnet_d2.shapes.config import ShapesConfig
from vfnet_d2.shapes.dataset import render_image


def noise(width: int, height: int, seed: int = 1) -> np.ndarray:
    """RGB noise of low frequency (H, W, 3), in which a model of random weights sees much."""
    coarse = np.random.default_rng(seed).integers(
        0, 256, (height // 16, width // 16, 3), dtype=np.uint8
    )
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def assert_identical(found: Instances, expected: Instances) -> None:
    """Compare detections bit by bit; there must be some."""
    assert len(found) == len(expected) > 5
    assert found.image_size == expected.image_size
    assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.pred_classes, expected.pred_classes)


class RectangleFinder:
    """Detects connected regions of one level of red as class 0, of green as class 1.

    Exact, and blind to what lies outside its image. The score grows with the area.

    Args:
        smallest: regions with both sides below this part of the image's longer side are missed,
            as a network misses small objects in large images.
    """

    def __init__(self, *, smallest: float = 0.0) -> None:
        self.smallest = smallest

    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """See Inference."""
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> Instances:
        found = []
        for category in (0, 1):
            regions, _ = ndimage.label(image[:, :, category] > 0)
            for rows, columns in ndimage.find_objects(regions):
                box = (columns.start, rows.start, columns.stop, rows.stop)
                sides = (box[2] - box[0], box[3] - box[1])
                if max(sides) >= self.smallest * max(image.shape):
                    found.append((sides[0] * sides[1] / image.size, box, category))
        found.sort(reverse=True)
        return Instances(
            image.shape[:2],
            pred_boxes=Boxes(torch.tensor([box for _, box, _ in found]).reshape(-1, 4).float()),
            scores=torch.tensor([score for score, _, _ in found]),
            pred_classes=torch.tensor([category for *_, category in found], dtype=torch.long),
        )


def rectangles(
    size: tuple[int, int], boxes: Sequence[tuple[int, int, int, int]], category: int = 0
) -> np.ndarray:
    """A black image (height, width) with boxes (x1, y1, x2, y2) of a class of RectangleFinder."""
    image = np.zeros((*size, 3), dtype=np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2, category] = 255
    return image


def shapes_canvas(
    columns: int, rows: int, *, seed: int = 7
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Many images of shapes side by side: pixels, boxes (M, 4) and classes (M,)."""
    config = ShapesConfig(num_images=columns * rows, seed=seed)
    side = config.image_size
    canvas = np.zeros((rows * side, columns * side, 3), dtype=np.uint8)
    boxes, classes = [], []
    for index in range(columns * rows):
        top, left = index // columns * side, index % columns * side
        pixels, annotations = render_image(config, index)
        canvas[top : top + side, left : left + side] = pixels
        for item in annotations:
            if not item["iscrowd"]:
                x, y, width, height = item["bbox"]
                boxes.append([x + left, y + top, x + width + left, y + height + top])
                classes.append(item["category_id"] - 1)
    return canvas, torch.tensor(boxes), torch.tensor(classes)
