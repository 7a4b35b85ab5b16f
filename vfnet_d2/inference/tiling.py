"""Large images in overlapping tiles, so that small objects are not resized away."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from detectron2.layers import batched_nms
from detectron2.structures import Boxes, Instances, pairwise_ioa
from torch import Tensor

from vfnet_d2.inference.plain import Inference

# A box whose side is nearer to a tile's border than this part of the tile may have been cut there.
_MARGIN = 0.01
# A cut box goes where a whole one of its class covers more of it than this.
_COVERED = 0.5


class _Found(NamedTuple):
    """Detections in the coordinates of the whole image.

    Attributes:
        boxes: (P, 4).
        scores: (P,).
        classes: (P,).
        cut: (P,) whether a border between tiles may have cut the box.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    cut: Tensor


class TiledInference:
    """Detections of overlapping tiles, merged by NMS within each class.

    - Tiles have one size and lie inside the image, evenly spread; neighbours overlap by at least
      what is asked for. An object smaller than the overlap is whole in some tile.
    - Larger objects are looked for in the image as a whole, too.
    - A box at a border between tiles may be a part of an object. It goes where a whole box of its
      class covers most of it, and stays as the part it is where there is none.
    - The model's limit of detections holds for each tile. An image that fits into one tile is
      predicted as it is.

    Args:
        inference: how a tile is run.
        tile: its sides, in pixels of the image.
        overlap: of neighbours, as a part of the tile.
        batch_size: tiles in a forward pass.
        iou_thresh: a box that overlaps a better one of its class by more than this IoU goes.

    Raises:
        ValueError: no sides, or an overlap outside [0, 1).
    """

    def __init__(
        self,
        inference: Inference,
        *,
        tile: int,
        overlap: float = 0.2,
        batch_size: int = 1,
        iou_thresh: float = 0.5,
    ) -> None:
        if tile < 1:
            raise ValueError(f"the tiles' side is {tile}; it must be 1 pixel or more")
        if not 0 <= overlap < 1:
            raise ValueError(f"the tiles' overlap is {overlap}; it must be from 0 to below 1")
        self.inference = inference
        self.tile = tile
        self.overlap = overlap
        self.batch_size = batch_size
        self.iou_thresh = iou_thresh

    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """See :class:`~vfnet_d2.inference.plain.Inference`; one image after the other."""
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> Instances:
        height, width = image.shape[:2]
        corners = [
            (top, left)
            for top in tile_starts(height, tile=self.tile, overlap=self.overlap)
            for left in tile_starts(width, tile=self.tile, overlap=self.overlap)
        ]
        (whole,) = self.inference([image])
        if len(corners) == 1:
            return whole
        found = [_select(whole, _longer_side(whole) > self.tile * self.overlap)]
        for start in range(0, len(corners), self.batch_size):
            batch = corners[start : start + self.batch_size]
            tiles = [image[y : y + self.tile, x : x + self.tile] for y, x in batch]
            for corner, result in zip(batch, self.inference(tiles), strict=True):
                found.append(self._placed(result, corner, (height, width)))
        joined = _Found(*(torch.cat(parts) for parts in zip(*found, strict=True)))
        return self._merged(joined, (height, width))

    def _placed(self, result: Instances, corner: tuple[int, int], size: tuple[int, int]) -> _Found:
        """Detections of a tile in the image's coordinates; a tile is ``corner`` (y, x) at most."""
        top, left = corner
        offset = torch.tensor([left, top, left, top], dtype=torch.float32)
        tile = torch.tensor([left, top, left + result.image_size[1], top + result.image_size[0]])
        # Where the tile ends with the image, nothing is cut.
        edge = torch.tensor([0, 0, size[1], size[0]])
        boxes = result.pred_boxes.tensor + offset
        near = (boxes - tile).abs() <= _MARGIN * self.tile
        cut = (near & (tile != edge)).any(dim=1)
        return _Found(boxes, result.scores, result.pred_classes, cut)

    def _merged(self, found: _Found, size: tuple[int, int]) -> Instances:
        boxes, scores, classes, cut = found
        whole = self._nms(found, torch.nonzero(~cut)[:, 0])
        part = torch.nonzero(cut)[:, 0]
        covered = pairwise_ioa(Boxes(boxes[whole]), Boxes(boxes[part]))
        covered = covered * (classes[whole][:, None] == classes[part])
        part = self._nms(found, part[(covered <= _COVERED).all(dim=0)])
        keep = torch.cat([whole, part])
        keep = keep[scores[keep].argsort(descending=True, stable=True)]
        return Instances(
            size, pred_boxes=Boxes(boxes[keep]), scores=scores[keep], pred_classes=classes[keep]
        )

    def _nms(self, found: _Found, index: Tensor) -> Tensor:
        boxes, scores, classes = (x[index] for x in found[:3])
        return index[batched_nms(boxes, scores, classes, self.iou_thresh)]


def tile_starts(length: int, *, tile: int, overlap: float) -> list[int]:
    """Return where tiles begin along a side of ``length`` pixels: evenly, from end to end."""
    if length <= tile:
        return [0]
    step = max(1, math.floor(tile * (1 - overlap)))
    steps = math.ceil((length - tile) / step)
    return [index * (length - tile) // steps for index in range(steps + 1)]


def _longer_side(instances: Instances) -> Tensor:
    boxes = instances.pred_boxes.tensor
    return (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)


def _select(instances: Instances, mask: Tensor) -> _Found:
    """Those of ``mask``, none of which was cut."""
    chosen = instances[mask]
    cut = torch.zeros(len(chosen), dtype=torch.bool)
    return _Found(chosen.pred_boxes.tensor, chosen.scores, chosen.pred_classes, cut)
