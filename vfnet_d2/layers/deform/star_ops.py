"""Star convolution as a function: sampling a box with nine points (VarifocalNet, Sec. 4.3).

Nine sampling points, read off the predicted distances of a location to the sides of its box, take
the place of the 3x3 neighbourhood: the location itself, the four points where its row and column
meet the box, and the four corners.

Three implementations behind one interface:

- ``"torchvision"``: torchvision's ``deform_conv2d`` kernel.
- ``"grid_sample"``: ``torch.nn.functional.grid_sample`` and a 1x1 convolution; plain PyTorch,
  deterministic on the CPU and known to every exporter.
- ``"gather"``: a weighted gather by ``embedding_bag`` and one matrix product, for all levels at
  once; see :mod:`vfnet_d2.layers.deform.gather_conv`. The fastest on CPUs.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from vfnet_d2.layers.deform.gather_conv import gather_conv
from vfnet_d2.layers.deform.gather_plan import gather_plan
from vfnet_d2.layers.precision import at_least_float32


def star_offsets(distances: Tensor) -> Tensor:
    """Offsets that move the 3x3 grid of each location onto its star.

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
    """Deformable 3x3 convolution, stride 1, padding 1, by torchvision's kernel.

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
    """The same convolution as bilinear sampling followed by a 1x1 convolution over 9 C channels.

    Args and result as in :func:`star_conv_torchvision`.
    """
    n, c, h, w = x.shape
    with torch.autocast(x.device.type, enabled=False):
        # (N, 9, 2, H*W) -> sampling positions in cells, y and x
        offsets = offsets.reshape(n, 9, 2, h * w)
        tap = torch.arange(9, device=x.device)
        cell = torch.arange(h * w, device=x.device)
        row = cell.div(w, rounding_mode="floor") + (tap.div(3, rounding_mode="floor") - 1)[:, None]
        column = cell % w + (tap % 3 - 1)[:, None]
        grid_y = (offsets[:, :, 0] + row) * (2 / h) + (1 / h - 1)
        grid_x = (offsets[:, :, 1] + column) * (2 / w) + (1 / w - 1)
        sampled = F.grid_sample(
            at_least_float32(x),
            torch.stack([grid_x, grid_y], dim=-1),
            padding_mode="zeros",
            align_corners=False,
        )  # (N, C, 9, H*W)
    sampled = sampled.to(x.dtype).view(n, c * 9, h, w)
    return F.conv2d(sampled, weight.flatten(1)[:, :, None, None])


def star_conv_gather_level(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """The same convolution as a weighted gather, for one level.

    Args and result as in :func:`star_conv_torchvision`.
    """
    return gather_conv([x], gather_plan([offsets]), weight)[0]


# (x (N, C, H, W), offsets (N, 18, H, W), weight (O, C, 3, 3)) -> (N, O, H, W), by config name.
STAR_CONVS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "torchvision": star_conv_torchvision,
    "grid_sample": star_conv_grid_sample,
    "gather": star_conv_gather_level,
}
