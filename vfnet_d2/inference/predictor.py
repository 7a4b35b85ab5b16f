"""Predictions for images of any source: the Python API, and what the command lines use."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data.catalog import Metadata
from detectron2.structures import Instances

from vfnet_d2.inference.images import ImageSource, load_image
from vfnet_d2.inference.loading import TrainedModel, model_of_checkpoint, model_of_config
from vfnet_d2.inference.plain import Inference, PlainInference
from vfnet_d2.inference.tiling import TiledInference
from vfnet_d2.inference.tta import AugmentedInference, default_scales
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.suppression import ClasswiseNMS, SoftNMS, Suppression
from vfnet_d2.utils.choices import AMP_PRECISIONS
from vfnet_d2.utils.precision import PRECISIONS
from vfnet_d2.utils.registry import lookup_name

Scales = Sequence[tuple[int, int]]


class Predictor:
    """A trained detector, from a checkpoint alone::

        predictor = Predictor("model.pth")
        instances = predictor("street.jpg")
        names = [predictor.class_names[index] for index in instances.pred_classes]

    Config, class names and input convention are the checkpoint's.

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
        class_names: K names.
        metadata: class names for Detectron2's ``Visualizer``.
        test_datasets: names of the config's test sets.

    Raises:
        FileNotFoundError: no such weights or config.
        ValueError: they do not fit, the checkpoint does not say its config, or an option is out
            of range.
    """

    inference: Inference
    score_threshold: float | None
    precision: str | None

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
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
        precision = lookup_name(AMP_PRECISIONS, amp, key="amp") if amp is not None else None
        self._take(model_of_checkpoint(weights, config=config, device=device))
        self.precision = precision
        self.batch_size = batch_size
        self.score_threshold = score_threshold
        if score_threshold is not None or soft_nms is not None:
            detector = self._detector()
            if score_threshold is not None:
                detector.score_thresh = score_threshold
            if soft_nms is not None:
                detector.suppression = _softened(detector.suppression, soft_nms)
        if tta:
            scales = default_scales(self.mapper.augmentations) if tta is True else tta
            self.inference = AugmentedInference(self._detector(), scales=scales, flip=tta_flip)
        if tile is not None:
            self.inference = TiledInference(
                self.inference, tile=tile, overlap=tile_overlap, batch_size=batch_size
            )

    @classmethod
    def of_model(
        cls,
        model: torch.nn.Module,
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        test_datasets: Sequence[str] = (),
        class_names: Sequence[str] = (),
    ) -> "Predictor":
        """Wrap a model that is there already.

        Args:
            model: a Detectron2 model; put into evaluation mode.
            mapper: makes a model input of a dataset dict with "file_name", as the test set's.
            test_datasets: names of test sets.
            class_names: of the model.
        """
        predictor = cls.__new__(cls)
        predictor._take(TrainedModel(model, mapper, list(test_datasets), list(class_names)))
        return predictor

    def _take(self, trained: TrainedModel) -> None:
        self.model = trained.model.eval()
        self.mapper = trained.mapper
        self.test_datasets = trained.test_datasets
        self.class_names = trained.class_names
        self.score_threshold = None
        self.precision = None
        self.batch_size = 1
        self.inference = PlainInference(
            self.model, resize=getattr(self.mapper, "augmentations", None)
        )

    def _detector(self) -> OneStageDetector:
        if not isinstance(self.model, OneStageDetector):
            raise ValueError(
                f"the model is of class {type(self.model).__name__}; score threshold, Soft-NMS and "
                "test-time augmentation are for this project's detectors"
            )
        return self.model

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
    ) -> Any:
        """Detect objects.

        Args:
            images: path of an image, PIL image, array (H, W, 3) of uint8, or Detectron2's dataset
                dict with "file_name"; or a list of the first three.
            channel_order: "RGB" or "BGR", of arrays, which do not tell themselves.

        Returns:
            Detectron2's ``Instances`` on the CPU, best first, with ``pred_boxes`` (x1, y1, x2, y2
            in pixels of the upright image), ``scores`` and ``pred_classes``, which index
            ``class_names``; a list of them for a list.

        Raises:
            FileNotFoundError: no such image.
            ImageError: it cannot be decoded, or the array is not as described; a ValueError.
        """
        if isinstance(images, dict):
            return self.run_model([self.mapper(dict(images))])[0]
        several = isinstance(images, list | tuple)
        sources: Sequence[Any] = images if several else [images]  # type: ignore[assignment]
        arrays = [
            load_image(source, input_format=self.input_format, channel_order=channel_order)
            for source in sources
        ]
        found = self.predict(arrays)
        return found if several else found[0]

    def predict(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """Detect objects in arrays (H, W, 3) of uint8 in the model's own channel order."""
        found: list[Instances] = []
        with self._autocast():
            for start in range(0, len(images), self.batch_size):
                found += self.inference(images[start : start + self.batch_size])
        if self.score_threshold is None:
            return found
        # Soft-NMS and quality branches lower scores after the model's own threshold.
        return [x[x.scores > self.score_threshold] for x in found]

    @torch.no_grad()
    def run_model(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Detect objects in Detectron2's model inputs, as a mapper makes them."""
        with self._autocast():
            outputs = self.model(inputs)
        return [output["instances"].to("cpu") for output in outputs]

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Compute in the predictor's precision while entered."""
        if self.precision is None:
            return contextlib.nullcontext()
        device_type = next(self.model.parameters()).device.type
        return torch.autocast(device_type, dtype=PRECISIONS[self.precision])


def _softened(suppression: Suppression, method: str) -> SoftNMS:
    """Soft-NMS at the IoU of a suppression."""
    if not isinstance(suppression, ClasswiseNMS | SoftNMS):
        raise ValueError(
            f"the config's suppression is {type(suppression).__name__}, which has no IoU threshold "
            "for Soft-NMS; set MODEL.ONE_STAGE.SUPPRESSION.NAME to SoftNMS in the config"
        )
    return SoftNMS(iou_thresh=suppression.iou_thresh, method=method)


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
