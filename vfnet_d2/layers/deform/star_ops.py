"""Star convolution as a function: sampling a box with nine points (VarifocalNet, Sec. 4.3).

Nine sampling points, read off the predicted distances of a location to the sides of its box, take
the place of the 3x3 neighbourhood: the location itself, the four points where its row and column
meet the box, and the four corners.

Each implementation is a function here; :mod:`vfnet_d2.layers.deform.backend` says which one runs.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from vfnet_d2.layers.deform.gather_conv import gather_conv
from vfnet_d2.layers.deform.gather_plan import gather_plan
from vfnet_d2.layers.deform.grid_sample import sample_points
from vfnet_d2.layers.precision import at_least_float32


def star_offsets(distances: Tensor) -> Tensor:
    """Return the offsets that move the 3x3 grid of each location onto its star.

    Args:
        distances: (N, 4, H, W), left, top, right and bottom distances of each location to its box,
            in stride units; none negative.

    Returns:
        (N, 18, H, W) in stride units, at least float32: (dy, dx) of the nine grid points, row by
        row.
    """
    left, top, right, bottom = at_least_float32(distances).unbind(dim=1)
    zero = torch.zeros_like(left)
    # The plain grid sits at -1, 0, 1: subtracting it leaves what deformable convolution adds.
    up, down, west, east = 1 - top, bottom - 1, 1 - left, right - 1
    rows, columns = (up, zero, down), (west, zero, east)
    return torch.stack([offset for y in rows for x in columns for offset in (y, x)], dim=1)


def star_conv_torchvision(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Convolve at moved points, 3x3, stride 1, padding 1, by torchvision's kernel.

    Args:
        x: (N, C, H, W).
        offsets: (N, 18, H, W) float32, see :func:`star_offsets`.
        weight: (O, C, 3, 3).

    Returns:
        (N, O, H, W) in the dtype of ``x``.
    """
    # The kernel takes one dtype; offsets in half precision would move samples by whole pixels on
    # large maps, so everything goes in as float32.
    with torch.autocast(x.device.type, enabled=False):
        out = deform_conv2d(at_least_float32(x), offsets, at_least_float32(weight), padding=1)
    return out.to(x.dtype)


def star_conv_grid_sample(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Convolve by bilinear sampling and a 1x1 convolution over 9 C channels.

    Args and result as in :func:`star_conv_torchvision`.
    """
    n, c, h, w = x.shape
    sampled = sample_points(x, offsets).to(x.dtype).view(n, c * 9, h, w)
    return F.conv2d(sampled, weight.flatten(1)[:, :, None, None])


def star_conv_gather_level(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Convolve one level by a weighted gather and a matrix product.

    Args and result as in :func:`star_conv_torchvision`.
    """
    return gather_conv([x], gather_plan([offsets]), weight)[0]


# (x (N, C, H, W), offsets (N, 18, H, W), weight (O, C, 3, 3)) -> (N, O, H, W), by name.
STAR_CONVS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "torchvision": star_conv_torchvision,
    "grid_sample": star_conv_grid_sample,
    "gather": star_conv_gather_level,
}
