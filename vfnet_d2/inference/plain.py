"""From images to detections: one forward pass for each, the way a config's test set is run."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from detectron2.data.transforms import AugInput, Augmentation
from detectron2.structures import Instances
from torch import Tensor, nn


class Inference(Protocol):
    """A way to run a detector: plain, with test-time augmentation, or in tiles."""

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


class PlainInference:
    """One forward pass for all images, each resized as in the config's test set.

    Detectron2 pads images of different sizes to the largest of them, which changes their scores
    slightly.

    Args:
        model: a Detectron2 model in evaluation mode.
        resize: augmentations of the test set.
    """

    def __init__(self, model: nn.Module, *, resize: Augmentation) -> None:
        self.model = model
        self.resize = resize

    @torch.no_grad()
    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """See :class:`Inference`."""
        outputs = self.model([self._model_input(image) for image in images])
        return [output["instances"].to("cpu") for output in outputs]

    def _model_input(self, image: np.ndarray) -> dict[str, Any]:
        height, width = image.shape[:2]
        resized = AugInput(image)
        self.resize(resized)
        return {"image": as_tensor(resized.image), "height": height, "width": width}
