"""What training, prediction, checkpoints and export ask of any detector, whatever is inside."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeGuard

import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import ImageList, Instances
from torch import Tensor

from vfnet_d2.modeling.suppression import Suppression

ModelInputs = Sequence[dict[str, Any]]


class InferenceSettings(NamedTuple):
    """How detections are chosen from a network's outputs; passed with each call.

    Attributes:
        score_thresh: a detection scores strictly more, in [0, 1].
        max_detections: most detections of an image.
        suppression: removes duplicates.
    """

    score_thresh: float
    max_detections: int
    suppression: Suppression


class Detector(Protocol):
    """A Detectron2 model that this project can train, evaluate, fine-tune, save and export.

    Besides what is named here it is an ``nn.Module``: in training mode ``forward`` returns named
    losses, in evaluation mode the same as :meth:`inference`.

    Attributes:
        num_classes: K.
        num_classes_key: config key (YAML) that sets it; a LazyConfig has ``model.num_classes``.
        input_format: channel order of the images, "RGB" or "BGR".
        pixel_mean: per channel, in this order, of values in 0..255.
        pixel_std: likewise.
        device: of the parameters.
    """

    num_classes_key: ClassVar[str]
    num_classes: int
    input_format: str
    pixel_mean: Tensor
    pixel_std: Tensor

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        ...

    @property
    def inference_settings(self) -> InferenceSettings:
        """The settings of the config, which :meth:`inference` uses unless it is given others."""
        ...

    def classifiers(self) -> Mapping[str, int]:
        """Return the layers to make anew for other classes.

        Returns:
            names of the layers, such as "head.cls_pred", whose weight and bias have a multiple of K
            rows; and that multiple: the boxes a class is predicted for at each place.
        """
        ...

    def preprocess_image(self, batched_inputs: ModelInputs) -> ImageList:
        """Normalise and pad N images and join them to a batch (N, 3, H, W)."""
        ...

    def network(self, images: Tensor) -> Any:
        """Map normalised, padded images (N, 3, H, W) to the outputs: tensors in, tensors out."""
        ...

    def inference(
        self, batched_inputs: ModelInputs, settings: InferenceSettings | None = None
    ) -> list[dict[str, Any]]:
        """Detect objects without changing the model.

        Args:
            batched_inputs: N inputs of a Detectron2 model.
            settings: None for :attr:`inference_settings`.

        Returns:
            for each image ``{"instances": Instances}``, best first, in its original size.
        """
        ...


# What a class shows; attributes such as ``num_classes`` appear on its instances alone. That is also
# why there is no isinstance of the protocol: from Python 3.12 on it does not see buffers.
_REQUIRED = ("num_classes_key", "inference_settings", "classifiers", "network", "inference")


def is_detector_class(cls: object) -> bool:
    """Return whether a class's instances are a :class:`Detector`."""
    return isinstance(cls, type) and all(hasattr(cls, name) for name in _REQUIRED)


def is_detector(model: object) -> TypeGuard[Detector]:
    """Return whether a model is a :class:`Detector`."""
    return is_detector_class(type(model))


def in_original_size(
    detections: Sequence[Instances], batched_inputs: ModelInputs
) -> list[dict[str, Any]]:
    """Rescale detections from the network's input to the size that each input asks for.

    Args:
        detections: N ``Instances``, in pixels of the network's input.
        batched_inputs: N inputs; without "height" and "width" the size stays as it is.

    Returns:
        what a Detectron2 model returns: for each image ``{"instances": Instances}``.
    """
    return [
        {
            "instances": detector_postprocess(
                found,
                item.get("height", found.image_size[0]),
                item.get("width", found.image_size[1]),
            )
        }
        for found, item in zip(detections, batched_inputs, strict=True)
    ]
