"""ATSS by its definition: every box against every anchor, one box after the other."""

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou


def dense_atss(
    levels: list[Tensor],
    boxes: Tensor,
    image_size: tuple[int, int],
    *,
    topk: int = 9,
    unbiased: bool = True,
    padding_takes_part: bool = False,
) -> np.ndarray:
    """Assign the anchors of one image.

    Args:
        levels: anchors (R_l, 4) of each level.
        boxes: (M, 4) ground truth.
        image_size: height and width.
        topk: candidates of a box on each level.
        unbiased: the usual standard deviation; False is a mistake to be told apart.
        padding_takes_part: likewise.

    Returns:
        (R,): -1 outside the image's padded size, 0 negative, k for box k - 1.
    """
    height, width = (-(-side // 32) * 32 for side in image_size)
    anchors = torch.cat(levels)
    centre = ((anchors[:, :2] + anchors[:, 2:]) / 2).numpy()
    valid = _inside_padded(levels, height, width)
    assigned = np.where(valid, 0, -1)
    if padding_takes_part:
        valid = np.ones_like(valid)
    best = np.zeros(len(anchors), np.float32)
    iou = box_iou(anchors, boxes).numpy()
    for index, box in enumerate(boxes.numpy()):
        distance = np.sqrt(np.square(centre - (box[:2] + box[2:]) / 2).sum(1))
        chosen = _nearest(distance, levels, valid, topk)
        values = iou[chosen, index]
        exact = values.astype(np.float64)
        deviation = exact.std(ddof=int(unbiased)) if len(values) > 1 else 0.0
        sides = np.concatenate([centre[chosen] - box[:2], box[2:] - centre[chosen]], axis=1)
        positive = (sides.min(axis=1) > 0.01) & (exact >= exact.mean() + deviation)
        for anchor, value in zip(chosen[positive], values[positive], strict=True):
            if assigned[anchor] < 1 or value > best[anchor]:
                assigned[anchor], best[anchor] = index + 1, value
    return assigned


def _inside_padded(levels: list[Tensor], height: int, width: int) -> np.ndarray:
    """Which centres lie in the padded image; a level's first row and column always do."""
    masks = []
    for level in levels:
        x, y = ((level[:, :2] + level[:, 2:]) / 2).unbind(1)
        masks.append(((x < width) | (x == x.min())) & ((y < height) | (y == y.min())))
    return torch.cat(masks).numpy()


def _nearest(
    distance: np.ndarray, levels: list[Tensor], valid: np.ndarray, topk: int
) -> np.ndarray:
    """The ``topk`` nearest anchors of each level; of equally near ones the first."""
    chosen, start = [], 0
    for level in levels:
        index = np.arange(start, start + len(level))
        index = index[valid[index]]
        chosen.append(index[np.argsort(distance[index], kind="stable")[:topk]])
        start += len(level)
    return np.concatenate(chosen)
