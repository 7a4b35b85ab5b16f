"""Test-time augmentation of any detector: several sizes of an image, and its mirror image.

Detectron2's own serves R-CNN alone, but for the transforms, which are used here.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data.transforms import AugmentationList, ResizeShortestEdge, TransformList
from detectron2.modeling import DatasetMapperTTA
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import Tensor

from vfnet_d2.inference.plain import as_tensor
from vfnet_d2.modeling.dense.postprocess import suppress_image
from vfnet_d2.modeling.detector import Detector, InferenceSettings
from vfnet_d2.modeling.suppression import KeepAll

# Shorter and longest longer sides of the published results, of models tested at 800.
PUBLISHED_SCALES = ((800, 1200), (900, 1300), (1000, 1500), (1200, 1600))
_PUBLISHED_SIDE = 800


def default_scales(resize: AugmentationList) -> list[tuple[int, int]]:
    """Return the published scales, in proportion to the shorter side of a config's test set.

    Args:
        resize: augmentations of the test set.

    Raises:
        ValueError: nothing there resizes the shorter side.
    """
    for augmentation in resize.augs:
        if isinstance(augmentation, ResizeShortestEdge):
            factor = max(augmentation.short_edge_length) / _PUBLISHED_SIDE
            return [(round(s * factor), round(x * factor)) for s, x in PUBLISHED_SCALES]
    raise ValueError(
        "test-time augmentation: the config's test set is not resized by ResizeShortestEdge, so "
        "the sizes must be given as pairs of shorter side and longest longer side"
    )


class AugmentedInference:
    """Detections of several views of an image: their candidates are joined, then suppressed.

    They are joined in the coordinates of the first view as the network sees it. Overlaps are the
    same there as in the image itself, and a single view that is resized as in the test set gives
    the plain prediction to the last bit.

    Args:
        model: in evaluation mode.
        scales: shorter side and longest longer side of each view.
        flip: each view also mirrored.
        settings: how the detections are chosen; None for the model's own.

    Raises:
        ValueError: no view, or several and nothing that removes what each of them shows.
    """

    def __init__(
        self,
        model: Detector,
        *,
        scales: Sequence[tuple[int, int]],
        flip: bool = True,
        settings: InferenceSettings | None = None,
    ) -> None:
        if not scales:
            raise ValueError("test-time augmentation needs at least one size, such as (800, 1333)")
        self.model = model
        self.settings = settings or model.inference_settings
        if isinstance(self.settings.suppression, KeepAll) and len(scales) + flip > 1:
            raise ValueError(
                "test-time augmentation finds an object once in each view, and the model's "
                "suppression, KeepAll, would leave all of them: it needs a model with NMS or "
                "Soft-NMS, or a single size that is not mirrored"
            )
        # What the network offers in each view; duplicates go when all views are joined.
        self._everything = self.settings._replace(suppression=KeepAll(), max_detections=sys.maxsize)
        self._mappers = [
            DatasetMapperTTA(min_sizes=[short], max_size=longest, flip=flip)
            for short, longest in scales
        ]

    @torch.no_grad()
    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """See :class:`~vfnet_d2.inference.plain.Inference`; one image after the other."""
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> Instances:
        height, width = image.shape[:2]
        item = {"image": as_tensor(image), "height": height, "width": width}
        levels: list[tuple[Tensor, Tensor, Tensor]] = []
        first: dict[str, Any] | None = None
        for mapper in self._mappers:
            # A view and its mirror image have one size, so they fill a batch.
            views = mapper(item)
            first = first or views[0]
            outputs = self.model.inference(
                [{"image": view["image"]} for view in views], self._everything
            )
            for view, output in zip(views, outputs, strict=True):
                found = output["instances"]
                boxes = found.pred_boxes.tensor
                if view is not first:
                    boxes = move(boxes, view["transforms"], first["transforms"])
                levels.append((boxes, found.scores, found.pred_classes))
        assert first is not None
        size = tuple(first["image"].shape[-2:])
        joined = suppress_image(
            levels,
            (size[0], size[1]),
            suppression=self.settings.suppression,
            max_detections=self.settings.max_detections,
        )
        return detector_postprocess(joined, height, width).to("cpu")


def move(boxes: Tensor, source: TransformList, target: TransformList) -> Tensor:
    """Move boxes (P, 4) from one view to another, by way of the image itself.

    Args:
        boxes: in pixels of the view that ``source`` made.
        source: from the image to that view.
        target: from the image to the other view.
    """
    moved = target.apply_box(source.inverse().apply_box(boxes.cpu().numpy()))
    return torch.as_tensor(moved, dtype=boxes.dtype, device=boxes.device)
