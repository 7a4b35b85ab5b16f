"""Pictures of a training: a batch as the model sees it, and what it finds on validation images."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, MetadataCatalog
from detectron2.evaluation import inference_context
from torch import nn

from vfnet_d2.visualization.boxes import draw_boxes
from vfnet_d2.visualization.palette import class_color
from vfnet_d2.visualization.pictures import (
    draw_ground_truth,
    draw_predictions,
    save_picture,
    side_by_side,
    stack,
    with_caption,
)

BATCH_FILE = "train_batch.png"
_COLUMNS, _MOST_IMAGES = 4, 16
# Small enough for many in a TensorBoard file, large enough to read the labels.
_SIDE = 640
_SCORE = 0.3

Batch = Sequence[dict[str, Any]]


class WatchedLoader:
    """A data loader that shows its first batch as it passes.

    A loader of its own for the picture would take random numbers from the training's.

    Args:
        loader: yields batches.
        show: is called with the first one.
    """

    def __init__(self, loader: Iterable[Batch], show: Callable[[Batch], object]) -> None:
        self._loader = loader
        self._show = show

    def __iter__(self) -> Iterator[Batch]:
        return self._watched(iter(self._loader))

    def _watched(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            if number == 0:
                self._show(batch)
            yield batch


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave NumPy's random numbers as they are: the Visualizer and resizing take some."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def save_batch_picture(batch: Batch, *, dataset: str, input_format: str, path: Path) -> None:
    """Write the picture of a batch."""
    picture = draw_batch(batch, metadata=MetadataCatalog.get(dataset), input_format=input_format)
    save_picture(picture, path)


def batch_watcher(cfg: CfgNode) -> Callable[[Batch], None]:
    """Return what writes a batch's picture into a training's output folder."""
    return functools.partial(
        save_batch_picture,
        dataset=cfg.DATASETS.TRAIN[0],
        input_format=cfg.INPUT.FORMAT,
        path=Path(cfg.OUTPUT_DIR) / BATCH_FILE,
    )


def draw_batch(batch: Batch, *, metadata: Any, input_format: str) -> np.ndarray:
    """Draw a batch after augmentation, with its boxes.

    Args:
        batch: model inputs with "image" (3, H, W) in 0..255 and "instances".
        metadata: of the dataset, for class names.
        input_format: "RGB" or "BGR", of the images.

    Returns:
        RGB picture (H, W, 3), uint8, of at most 16 images.
    """
    with _same_random_numbers():
        pictures = [_draw_input(item, metadata, input_format) for item in batch[:_MOST_IMAGES]]
    rows = [pictures[i : i + _COLUMNS] for i in range(0, len(pictures), _COLUMNS)]
    return stack([side_by_side(row) for row in rows])


def _draw_input(item: dict[str, Any], metadata: Any, input_format: str) -> np.ndarray:
    image = item["image"].cpu().numpy().transpose(1, 2, 0)
    if input_format == "BGR":
        image = image[:, :, ::-1]
    instances = item["instances"]
    names, classes = metadata.thing_classes, instances.gt_classes.tolist()
    return draw_boxes(
        image,
        instances.gt_boxes.tensor.cpu().numpy(),
        [class_color(index) for index in classes],
        [names[index] for index in classes],
        scale=_scale(*image.shape[:2]),
    )


def _scale(height: int, width: int) -> float:
    return min(2.0, _SIDE / max(height, width))


class ValidationPictures:
    """Draws ground truth beside detections, for the same few images each time.

    Args:
        cfg: of the training, for the preprocessing.
        dataset: name of the validation set.
        items: its dataset dicts, of which some are drawn.
        count: images to draw.
    """

    def __init__(
        self, cfg: CfgNode, *, dataset: str, items: Sequence[dict[str, Any]], count: int = 4
    ) -> None:
        # Spread over the set: neighbours often are of one scene.
        step = max(1, len(items) // count)
        self.items = list(items[::step][:count])
        self._metadata = MetadataCatalog.get(dataset)
        self._mapper = DatasetMapper(cfg, is_train=False)

    def draw(self, model: nn.Module) -> list[np.ndarray]:
        """Return an RGB picture (H, W, 3) of each image; the model's mode stays as it is."""
        with _same_random_numbers(), inference_context(model), torch.no_grad():
            return [self._draw(model, item) for item in self.items]

    def _draw(self, model: nn.Module, item: dict[str, Any]) -> np.ndarray:
        detections = model([self._mapper(item)])[0]["instances"].to("cpu")
        scale = _scale(item["height"], item["width"])
        truth = draw_ground_truth(item, self._metadata, scale=scale)
        found = draw_predictions(
            item["file_name"], detections, self._metadata, score_thresh=_SCORE, scale=scale
        )
        return side_by_side(
            [
                with_caption(truth, "ground truth"),
                with_caption(found, f"predictions, score >= {_SCORE:g}"),
            ]
        )
