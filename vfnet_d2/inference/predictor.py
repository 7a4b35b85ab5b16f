"""Predictions for images of any source: the Python API, and what the command lines use."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data.catalog import Metadata
from detectron2.structures import Instances

from vfnet_d2.inference.images import ImageSource, load_image
from vfnet_d2.inference.loading import TrainedModel, model_of_checkpoint, model_of_config
from vfnet_d2.inference.options import (
    InferenceOptions,
    Scales,
    autocast,
    build_inference,
    settings_of,
)
from vfnet_d2.inference.plain import Inference, run_model


class Predictor:
    """A trained detector, from a checkpoint alone::

        predictor = Predictor("model.pth")
        instances = predictor("street.jpg")
        names = [predictor.class_names[index] for index in instances.pred_classes]

    Config, class names and input convention are the checkpoint's. The options from
    ``score_threshold`` on may also be given to each call, for it alone::

        instances = predictor("aerial.tif", tile=640, score_threshold=0.5)

    A prediction changes neither the predictor nor its model, so threads may share one without a
    lock, each with its own options.

    Args:
        weights: checkpoint of a training, or of ``tools/convert_checkpoint.py``.
        config: file, or name of the model zoo, for checkpoints that do not say theirs.
        device: such as "cpu" or "cuda:1"; None for a GPU where there is one.
        score_threshold: detections score strictly more; None for the config's.
        soft_nms: "linear" or "gaussian" lowers the scores of overlapping boxes (Soft-NMS) where
            the config says they go; at the IoU of the config.
        tta: test-time augmentation at the published sizes, in proportion to the config's test
            size; or at pairs of shorter side and longest longer side.
        tta_flip: each of these also mirrored.
        tile: side of overlapping tiles in pixels, for images much larger than their objects.
        tile_overlap: of neighbouring tiles, as a part of their side.
        batch_size: most images or tiles in a forward pass.
        amp: "bf16" or "fp16" computes in mixed precision; None in float32.

    Attributes:
        model: in evaluation mode.
        options: those of calls that give none.
        class_names: K names.
        metadata: class names for Detectron2's ``Visualizer``.
        test_datasets: names of the config's test sets.

    Raises:
        FileNotFoundError: no such weights or config.
        ValueError: they do not fit, the checkpoint does not say its config, or an option is out
            of range.
    """

    def __init__(
        self,
        weights: str | Path,
        *,
        config: str | Path | None = None,
        device: str | None = None,
        score_threshold: float | None = None,
        soft_nms: str | None = None,
        tta: bool | Scales = False,
        tta_flip: bool = True,
        tile: int | None = None,
        tile_overlap: float = 0.2,
        batch_size: int = 1,
        amp: str | None = None,
    ) -> None:
        options = InferenceOptions(
            score_threshold=score_threshold,
            soft_nms=soft_nms,
            tta=tta,
            tta_flip=tta_flip,
            tile=tile,
            tile_overlap=tile_overlap,
            batch_size=batch_size,
            amp=amp,
        )
        self._take(model_of_checkpoint(weights, config=config, device=device), options)

    @classmethod
    def of_model(
        cls,
        model: torch.nn.Module,
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        test_datasets: Sequence[str] = (),
        class_names: Sequence[str] = (),
        **options: Any,
    ) -> "Predictor":
        """Wrap a model that is there already.

        Args:
            model: a Detectron2 model; put into evaluation mode.
            mapper: makes a model input of a dataset dict with "file_name", as the test set's.
            test_datasets: names of test sets.
            class_names: of the model.
            options: of :class:`~vfnet_d2.inference.options.InferenceOptions`. Score threshold,
                Soft-NMS and test-time augmentation are for models that are a
                :class:`~vfnet_d2.modeling.detector.Detector`.

        Raises:
            ValueError: an option is out of range, or not for this model.
        """
        predictor = cls.__new__(cls)
        trained = TrainedModel(model, mapper, list(test_datasets), list(class_names))
        predictor._take(trained, InferenceOptions().changed(**options))
        return predictor

    def _take(self, trained: TrainedModel, options: InferenceOptions) -> None:
        self.model = trained.model.eval()
        self.mapper = trained.mapper
        self.test_datasets = trained.test_datasets
        self.class_names = trained.class_names
        self.options = options
        # What the options cannot have is told before the first image.
        self._inference(options)
        autocast(self.model, options.amp)

    def _inference(self, options: InferenceOptions) -> Inference:
        return build_inference(self.model, getattr(self.mapper, "augmentations", None), options)

    @property
    def inference(self) -> Inference:
        """The way the options of the predictor run its model."""
        return self._inference(self.options)

    @property
    def metadata(self) -> Metadata:
        """Class names, for Detectron2's ``Visualizer``."""
        return Metadata().set(thing_classes=self.class_names)

    @property
    def input_format(self) -> str:
        """The channel order of the model, "RGB" or "BGR"."""
        return str(self.mapper.image_format)

    def __call__(
        self,
        images: ImageSource | dict[str, Any] | Sequence[ImageSource],
        *,
        channel_order: str | None = None,
        **options: Any,
    ) -> Any:
        """Detect objects.

        Args:
            images: path of an image, PIL image, array (H, W, 3) of uint8, or Detectron2's dataset
                dict with "file_name"; or a list of the first three.
            channel_order: "RGB" or "BGR", of arrays, which do not tell themselves.
            options: of :class:`~vfnet_d2.inference.options.InferenceOptions`, in place of the
                predictor's. Of a dataset dict, which the mapper prepares, ``tta`` and ``tile``
                do not count.

        Returns:
            Detectron2's ``Instances`` on the CPU, best first, with ``pred_boxes`` (x1, y1, x2, y2
            in pixels of the upright image), ``scores`` and ``pred_classes``, which index
            ``class_names``; a list of them for a list.

        Raises:
            FileNotFoundError: no such image.
            ImageError: it cannot be decoded, or the array is not as described; a ValueError.
            ValueError: an option is out of range, or not for this model.
            TypeError: no such option.
        """
        if isinstance(images, dict):
            return self.run_model([self.mapper(dict(images))], **options)[0]
        several = isinstance(images, list | tuple)
        sources: Sequence[Any] = images if several else [images]  # type: ignore[assignment]
        arrays = [
            load_image(source, input_format=self.input_format, channel_order=channel_order)
            for source in sources
        ]
        found = self.predict(arrays, **options)
        return found if several else found[0]

    def predict(self, images: Sequence[np.ndarray], **options: Any) -> list[Instances]:
        """Detect objects in arrays (H, W, 3) of uint8 in the model's own channel order.

        Args:
            images: of any sizes.
            options: as for a call of the predictor.
        """
        chosen = self.options.changed(**options)
        inference = self._inference(chosen)
        found: list[Instances] = []
        with autocast(self.model, chosen.amp):
            for start in range(0, len(images), chosen.batch_size):
                found += inference(images[start : start + chosen.batch_size])
        return _above(chosen.score_threshold, found)

    def run_model(self, inputs: Sequence[dict[str, Any]], **options: Any) -> list[Instances]:
        """Detect objects in Detectron2's model inputs, as a mapper makes them.

        Args:
            inputs: a batch.
            options: as for a call of the predictor; ``tta`` and ``tile`` do not count.
        """
        chosen = self.options.changed(**options)
        settings = settings_of(self.model, chosen)
        with autocast(self.model, chosen.amp):
            found = run_model(self.model, inputs, settings)
        return _above(chosen.score_threshold, found)


def _above(threshold: float | None, found: list[Instances]) -> list[Instances]:
    """Those that score more: Soft-NMS and quality branches lower scores after the threshold."""
    return found if threshold is None else [x[x.scores > threshold] for x in found]


def load_predictor(config_file: str, opts: Sequence[str] = ()) -> Predictor:
    """Build the model of a YAML or LazyConfig file, load its weights, and wrap both.

    Args:
        config_file: path of the config.
        opts: overrides in the config's system; the weights are among them
            (``MODEL.WEIGHTS FILE`` or ``train.init_checkpoint=FILE``).
    """
    trained = model_of_config(config_file, opts)
    return Predictor.of_model(
        trained.model,
        trained.mapper,
        test_datasets=trained.test_datasets,
        class_names=trained.class_names,
    )
