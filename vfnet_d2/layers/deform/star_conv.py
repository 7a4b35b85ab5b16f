"""Star convolution as a layer."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vfnet_d2.layers.deform.backend import STAR_BACKENDS, DeformableLayer, is_traced
from vfnet_d2.layers.deform.gather_conv import gather_conv, gather_conv_cells
from vfnet_d2.layers.deform.gather_plan import GatherPlan, gather_plan
from vfnet_d2.layers.deform.star_ops import STAR_CONVS


class Stars:
    """The sampling points of L feature maps, for every star convolution over them.

    Args:
        offsets: L tensors (N, 18, H, W), see :func:`~vfnet_d2.layers.deform.star_ops.star_offsets`.
    """

    def __init__(self, offsets: Sequence[Tensor]) -> None:
        self.offsets = list(offsets)

    @functools.cached_property
    def plan(self) -> GatherPlan:
        """What the gather implementation reads, worked out when first asked for."""
        return gather_plan(self.offsets)


class StarConv2d(DeformableLayer, nn.Module):
    """3x3 convolution without bias over the stars of a feature map.

    ``implementation`` is "auto", unless
    :func:`~vfnet_d2.layers.deform.backend.set_deform_conv` chooses another one.

    Args:
        in_channels: C.
        out_channels: O.
    """

    backends = STAR_BACKENDS

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: (N, C, H, W).
            offsets: (N, 18, H, W), see :func:`star_offsets`.

        Returns:
            (N, O, H, W).
        """
        return STAR_CONVS[self.backend(x.device.type)](x, offsets, self.weight)

    def forward_levels(self, features: Sequence[Tensor], stars: "Stars") -> list[Tensor]:
        """Convolve L feature maps with shared weights.

        Args:
            features: L tensors (N, C, H, W).
            stars: of the same maps; convolutions that get the same object share its sampling.

        Returns:
            L tensors (N, O, H, W).
        """
        name = self.backend(features[0].device.type)
        if name == "gather":
            return gather_conv(features, stars.plan, self.weight)
        return [
            STAR_CONVS[name](x, offsets, self.weight)
            for x, offsets in zip(features, stars.offsets, strict=True)
        ]

    def can_skip_cells(self, x: Tensor) -> bool:
        """Return whether :meth:`forward_cells` pays: for the gather, in models that run at once.

        A traced, compiled or exported model computes all cells.

        Args:
            x: a map on the input's device.
        """
        return not is_traced() and self.backend(x.device.type) == "gather"

    def forward_cells(self, features: Sequence[Tensor], stars: "Stars", cells: Tensor) -> Tensor:
        """Convolve at chosen cells only.

        Args:
            features: L tensors (N, C, H, W).
            stars: of the same maps.
            cells: (U,) see :meth:`~vfnet_d2.layers.deform.gather_plan.GatherPlan.at`.

        Returns:
            (U, O).
        """
        return gather_conv_cells(features, stars.plan, cells, self.weight)

    def extra_repr(self) -> str:
        """Show channels and implementation when the model is printed."""
        out_channels, in_channels = self.weight.shape[:2]
        return f"{in_channels}, {out_channels}, implementation={self.implementation!r}"
