"""From images to detections: one forward pass for each, the way a config's test set is run."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from detectron2.data.transforms import AugInput, Augmentation
from detectron2.structures import Instances
from torch import Tensor, nn

from vfnet_d2.modeling.detector import InferenceSettings, ModelInputs


class Inference(Protocol):
    """A way to run a detector: plain, with test-time augmentation, or in tiles.

    Nothing in it changes when it is called, so that threads may share it.
    """

    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """Detect objects.

        Args:
            images: (H, W, 3) uint8 in the channel order of the model, of any sizes.

        Returns:
            ``Instances`` of each on the CPU, best first, in its coordinates.
        """
        ...


def as_tensor(image: np.ndarray) -> Tensor:
    """Turn an image (H, W, 3) into a tensor (3, H, W)."""
    return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))


@torch.no_grad()
def run_model(
    model: Any, inputs: ModelInputs, settings: InferenceSettings | None = None
) -> list[Instances]:
    """Detect objects in inputs of a Detectron2 model.

    Args:
        model: in evaluation mode; with settings a
            :class:`~vfnet_d2.modeling.detector.Detector`, else any Detectron2 model.
        inputs: as a mapper makes them.
        settings: None for the model's own.

    Returns:
        ``Instances`` of each on the CPU.
    """
    outputs = model(inputs) if settings is None else model.inference(inputs, settings)
    return [output["instances"].to("cpu") for output in outputs]


class PlainInference:
    """One forward pass for all images, each resized as in the config's test set.

    Detectron2 pads images of different sizes to the largest of them, which changes their scores
    slightly.

    Args:
        model: a Detectron2 model in evaluation mode.
        resize: augmentations of the test set.
        settings: of a :class:`~vfnet_d2.modeling.detector.Detector`; None for the model's own.
    """

    def __init__(
        self, model: nn.Module, *, resize: Augmentation, settings: InferenceSettings | None = None
    ) -> None:
        self.model = model
        self.resize = resize
        self.settings = settings

    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """See :class:`Inference`."""
        return run_model(self.model, [self._model_input(x) for x in images], self.settings)

    def _model_input(self, image: np.ndarray) -> dict[str, Any]:
        height, width = image.shape[:2]
        resized = AugInput(image)
        self.resize(resized)
        return {"image": as_tensor(resized.image), "height": height, "width": width}
