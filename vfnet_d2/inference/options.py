"""Options of a prediction, and the way to run a detector that they ask for."""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.data.transforms import AugmentationList
from torch import nn

from vfnet_d2.inference.plain import Inference, PlainInference
from vfnet_d2.inference.tiling import TiledInference
from vfnet_d2.inference.tta import AugmentedInference, default_scales
from vfnet_d2.modeling.detector import Detector, InferenceSettings, is_detector
from vfnet_d2.modeling.suppression import ClasswiseNMS, SoftNMS, Suppression
from vfnet_d2.utils.choices import AMP_PRECISIONS
from vfnet_d2.utils.precision import PRECISIONS
from vfnet_d2.utils.registry import lookup_name

Scales = Sequence[tuple[int, int]]


class InferenceOptions(NamedTuple):
    """What a caller may choose for each prediction; nothing here changes the model.

    Attributes:
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
    """

    score_threshold: float | None = None
    soft_nms: str | None = None
    tta: bool | Scales = False
    tta_flip: bool = True
    tile: int | None = None
    tile_overlap: float = 0.2
    batch_size: int = 1
    amp: str | None = None

    def changed(self, **changes: Any) -> "InferenceOptions":
        """Return the options with some of them replaced.

        >>> InferenceOptions(tile=640).changed(score_threshold=0.5)[:1]
        (0.5,)

        Raises:
            TypeError: an option that does not exist; names those that do.
        """
        unknown = sorted(changes.keys() - set(self._fields))
        if unknown:
            raise TypeError(
                f"unknown inference option {unknown[0]!r}; there are {', '.join(self._fields)}"
            )
        return self._replace(**changes)


def detector_of(model: nn.Module) -> Detector:
    """Return a model as the detector it is.

    Raises:
        ValueError: it has no settings that could be changed.
    """
    if not is_detector(model):
        raise ValueError(
            f"the model is of class {type(model).__name__}, which takes no inference settings: "
            "score threshold, Soft-NMS and test-time augmentation need a detector of "
            "vfnet_d2.modeling.detector's protocol. Leave them out for plain predictions"
        )
    return model


def settings_of(model: nn.Module, options: InferenceOptions) -> InferenceSettings | None:
    """Return how a model chooses its detections; None if the options leave that to the model.

    Raises:
        ValueError: the options ask for what this model does not have.
    """
    if options.score_threshold is None and options.soft_nms is None and not options.tta:
        return None
    settings = detector_of(model).inference_settings
    if options.score_threshold is not None:
        settings = settings._replace(score_thresh=options.score_threshold)
    if options.soft_nms is not None:
        softened = _softened(settings.suppression, options.soft_nms)
        settings = settings._replace(suppression=softened)
    return settings


def _softened(suppression: Suppression, method: str) -> SoftNMS:
    """Soft-NMS at the IoU of a suppression."""
    if not isinstance(suppression, ClasswiseNMS | SoftNMS):
        raise ValueError(
            f"the config's suppression is {type(suppression).__name__}, which has no IoU threshold "
            "for Soft-NMS; set one that has it in the config, by MODEL.ONE_STAGE.SUPPRESSION.NAME "
            "for this project's dense detectors"
        )
    return SoftNMS(iou_thresh=suppression.iou_thresh, method=method)


def build_inference(
    model: nn.Module, resize: AugmentationList, options: InferenceOptions
) -> Inference:
    """Return the way to run a detector that the options ask for.

    Args:
        model: in evaluation mode; it is left as it is.
        resize: augmentations of the test set.
        options: see there.

    Raises:
        ValueError: an option is out of range, or the model does not have what it asks for.
    """
    if options.batch_size < 1:
        raise ValueError(f"batch_size is {options.batch_size}; it must be 1 or more")
    settings = settings_of(model, options)
    inference: Inference = PlainInference(model, resize=resize, settings=settings)
    if options.tta:
        scales = default_scales(resize) if options.tta is True else options.tta
        inference = AugmentedInference(
            detector_of(model), scales=scales, flip=options.tta_flip, settings=settings
        )
    if options.tile is not None:
        inference = TiledInference(
            inference,
            tile=options.tile,
            overlap=options.tile_overlap,
            batch_size=options.batch_size,
        )
    return inference


def autocast(model: nn.Module, amp: str | None) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which the thread that enters it computes in mixed precision.

    Args:
        model: whose device counts.
        amp: a key of AMP_PRECISIONS, or None for float32.

    Raises:
        ValueError: unknown precision.
    """
    if amp is None:
        return contextlib.nullcontext()
    precision = PRECISIONS[lookup_name(AMP_PRECISIONS, amp, key="amp")]
    device_type = next(model.parameters()).device.type
    # The cache of cast weights is one for all threads, and forgets which precision they are of.
    return torch.autocast(device_type, dtype=precision, cache_enabled=False)
