"""Pictures of a training: a batch as the model sees it, and what it finds on validation images."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import inference_context
from torch import nn

from vfnet_d2.data.loading import load_dataset
from vfnet_d2.training.components import PictureSource
from vfnet_d2.training.hooks.after_evaluation import AfterEvaluation
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


def watched_loader(loader: Iterable[Batch], source: PictureSource, output: Path) -> WatchedLoader:
    """Return the loader, which writes the picture of its first batch into a folder."""
    show = functools.partial(
        save_batch_picture,
        dataset=source.train_set,
        input_format=source.input_format,
        path=output / BATCH_FILE,
    )
    return WatchedLoader(loader, show)


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


class ValidationPictures(AfterEvaluation):
    """Draws ground truth beside detections for TensorBoard, of the same few images each time.

    Args:
        source: what is drawn.
        period: iterations between evaluations.
        model: that is evaluated.
        count: images to draw.
    """

    def __init__(
        self, source: PictureSource, *, period: int, model: nn.Module, count: int = 4
    ) -> None:
        super().__init__(period)
        self._source = source
        self._model = model
        self._count = count

    @functools.cached_property
    def items(self) -> list[dict[str, Any]]:
        """The dataset dicts, spread over the set: neighbours often are of one scene."""
        items = load_dataset(self._source.test_set, filter_empty=False)
        step = max(1, len(items) // self._count)
        return items[::step][: self._count]

    def act(self) -> None:
        """Put the pictures into the trainer's storage."""
        for number, picture in enumerate(self.draw()):
            self.trainer.storage.put_image(f"validation/{number}", picture.transpose(2, 0, 1))

    def draw(self) -> list[np.ndarray]:
        """Return an RGB picture (H, W, 3) of each image; the model's mode stays as it is."""
        with _same_random_numbers(), inference_context(self._model), torch.no_grad():
            return [self._draw(item) for item in self.items]

    def _draw(self, item: dict[str, Any]) -> np.ndarray:
        detections = self._model([self._source.mapper(dict(item))])[0]["instances"].to("cpu")
        metadata = MetadataCatalog.get(self._source.test_set)
        scale = _scale(item["height"], item["width"])
        truth = draw_ground_truth(item, metadata, scale=scale)
        found = draw_predictions(
            item["file_name"], detections, metadata, score_thresh=_SCORE, scale=scale
        )
        return side_by_side(
            [
                with_caption(truth, "ground truth"),
                with_caption(found, f"predictions, score >= {_SCORE:g}"),
            ]
        )
