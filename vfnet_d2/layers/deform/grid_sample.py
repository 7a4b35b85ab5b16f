"""Samples of a deformable convolution by PyTorch's ``grid_sample``, which every exporter knows."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vfnet_d2.layers.precision import at_least_float32


def sample_points(
    x: Tensor,
    offsets: Tensor,
    *,
    kernel_size: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Sample a map bilinearly at the moved points of a convolution's grid; outside it is 0.

    Args:
        x: (N, C, H, W).
        offsets: (N, 2T, H', W') at least float32, for the T points of the kernel, row by row:
            (dy, dx) in cells.
        kernel_size: height and width of the kernel, T points.
        stride: of the grid, (y, x).
        padding: zeros around ``x``, (y, x).
        dilation: distance of the kernel's grid points, (y, x).

    Returns:
        (N, C, T, H' * W'), at least float32.
    """
    height, width = x.shape[2:]
    n, _, rows, columns = offsets.shape
    points = kernel_size[0] * kernel_size[1]
    with torch.autocast(x.device.type, enabled=False):
        # (N, T, 2, H' * W') -> positions in cells, y and x
        moved = offsets.reshape(n, points, 2, rows * columns)
        tap = torch.arange(points, device=x.device)[:, None]
        cell = torch.arange(rows * columns, device=x.device)
        tap_y, tap_x = tap.div(kernel_size[1], rounding_mode="floor"), tap % kernel_size[1]
        cell_y, cell_x = cell.div(columns, rounding_mode="floor"), cell % columns
        row = cell_y * stride[0] + tap_y * dilation[0] - padding[0]
        column = cell_x * stride[1] + tap_x * dilation[1] - padding[1]
        grid_y = (moved[:, :, 0] + row) * (2 / height) + (1 / height - 1)
        grid_x = (moved[:, :, 1] + column) * (2 / width) + (1 / width - 1)
        return F.grid_sample(
            at_least_float32(x),
            torch.stack([grid_x, grid_y], dim=-1),
            padding_mode="zeros",
            align_corners=False,
        )
