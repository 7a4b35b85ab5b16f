"""Anchors and boxes for tests of ATSS."""

from typing import Any

import numpy as np
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances

STRIDES = (8, 16, 32, 64, 128)


def anchors_of(sizes: list[tuple[int, int]], *, offset: float = 0.0) -> list[Boxes]:
    """One square anchor of 8 strides a cell for maps of these heights and widths."""
    strides = STRIDES[: len(sizes)]
    generator = DefaultAnchorGenerator(
        sizes=[[8 * s] for s in strides], aspect_ratios=[[1.0]], strides=strides, offset=offset
    )
    return generator([torch.zeros(1, 1, *size) for size in sizes])


def anchors_over(height: int, width: int, *, offset: float = 0.0) -> list[Boxes]:
    """The five levels over an image of that size."""
    sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
    return anchors_of(sizes, offset=offset)


def targets_of(boxes: Any, image_size: tuple[int, int]) -> Instances:
    instances = Instances(image_size)
    instances.gt_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    return instances


def random_boxes(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    corner = rng.uniform(-0.1, 0.9, (count, 2)) * (width, height)
    sides = np.exp(rng.uniform(np.log(2), np.log(max(height, width)), (count, 2)))
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
