"""Which anchors lie on an image and its own padding, and which on the padding of its batch.

Alone, an image would be padded to what its backbone needs. In a batch it is padded further, to the
size of the largest image. Anchors there take no part in the matching, so that an image is matched
the same in every batch. An anchor is inside if its centre is; the first row and column of a level
always are, however coarse the level.
"""

from collections.abc import Sequence

import torch
from detectron2.modeling import Backbone
from detectron2.structures import Boxes
from torch import Tensor

from vfnet_d2.modeling.dense.matchers.grid import AnchorGrid

# (height, width) in pixels
Size = tuple[int, int]

# Centres lie on multiples of half a stride, but for the rounding of their anchors' corners.
_TOLERANCE = 0.01


def pad_sizes(backbone: Backbone, image_sizes: Sequence[Size]) -> list[Size]:
    """Return the size that each image would have if it were padded alone.

    Args:
        backbone: says what it needs in Detectron2's ``size_divisibility`` and, where it has them,
            ``padding_constraints``.
        image_sizes: (height, width) of N images.
    """
    # Detectron2 v0.6 has no constraints, and backbones without any return an empty dict.
    constraints = getattr(backbone, "padding_constraints", {})
    unit = max(1, constraints.get("size_divisibility", backbone.size_divisibility))
    square = constraints.get("square_size", 0)
    if square > 0:
        image_sizes = [(square, square)] * len(image_sizes)
    return [(-(-height // unit) * unit, -(-width // unit) * unit) for height, width in image_sizes]


def inside_own_padding(anchors: Sequence[Boxes], padded_sizes: Sequence[Size]) -> Tensor:
    """Return the mask (N, R) of the anchors that take part.

    Args:
        anchors: L ``Boxes``, R in all.
        padded_sizes: of N images, see :func:`pad_sizes`.
    """
    levels = []
    for boxes in anchors:
        centres = boxes.get_centers()
        limit = _limit(centres.amin(dim=0), padded_sizes)
        levels.append((centres < limit[:, None]).all(dim=-1))
    return torch.cat(levels, dim=1)


def open_cells(grid: AnchorGrid, padded_sizes: Sequence[Size]) -> Tensor:
    """Return the columns and rows (N, L, 2) of each level that take part, at least one.

    Args:
        grid: of L levels.
        padded_sizes: of N images, see :func:`pad_sizes`.
    """
    limit = torch.stack([_limit(origin, padded_sizes) for origin in grid.origin], dim=1)
    return torch.minimum(((limit - grid.origin) / grid.step).ceil().long(), grid.size)


def _limit(first: Tensor, padded_sizes: Sequence[Size]) -> Tensor:
    """What the x and y (N, 2) of centres inside stay below, given those of the first one, (2,)."""
    sizes = torch.tensor([[width, height] for height, width in padded_sizes], dtype=first.dtype)
    return torch.maximum(sizes.to(first.device) - _TOLERANCE, first + _TOLERANCE)
