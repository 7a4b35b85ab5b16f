"""Star convolution as a layer, and the choice of its implementation."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vfnet_d2.layers.deform.fastest import choose_fastest, time_passes
from vfnet_d2.layers.deform.gather_conv import gather_conv, gather_conv_cells
from vfnet_d2.layers.deform.gather_plan import GatherPlan, gather_plan
from vfnet_d2.layers.deform.star_ops import STAR_CONVS, star_offsets

# Known to every exporter, so it is what a traced or compiled model gets.
PORTABLE = "grid_sample"


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


class StarConv2d(nn.Module):
    """3x3 convolution without bias over the stars of a feature map.

    Args:
        in_channels: C.
        out_channels: O.
        implementation: a name in ``STAR_CONVS``, or "auto": the one measured to be the
            fastest on the input's kind of device, :func:`fastest_star_conv`.

    Raises:
        ValueError: unknown implementation; the message lists the known ones.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, implementation: str = "auto"
    ) -> None:
        super().__init__()
        known = ["auto", *STAR_CONVS]
        if implementation not in known:
            raise ValueError(
                f"unknown star convolution {implementation!r}; choose one of {', '.join(known)}"
            )
        self.implementation = implementation
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
        return STAR_CONVS[self._choose(x)](x, offsets, self.weight)

    def forward_levels(self, features: Sequence[Tensor], stars: "Stars") -> list[Tensor]:
        """Convolve L feature maps with shared weights.

        Args:
            features: L tensors (N, C, H, W).
            stars: of the same maps; convolutions that get the same object share its sampling.

        Returns:
            L tensors (N, O, H, W).
        """
        name = self._choose(features[0])
        if name == "gather":
            return gather_conv(features, stars.plan, self.weight)
        return [
            STAR_CONVS[name](x, offsets, self.weight)
            for x, offsets in zip(features, stars.offsets, strict=True)
        ]

    def can_skip_cells(self, x: Tensor) -> bool:
        """Whether :meth:`forward_cells` pays: for the gather, outside of graphs made to be kept.

        Args:
            x: a map of the input's kind.
        """
        kept = torch.jit.is_tracing() or torch.compiler.is_compiling()
        return not kept and self._choose(x) == "gather"

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

    def _choose(self, x: Tensor) -> str:
        """Name of the implementation for this input."""
        if self.implementation != "auto":
            return self.implementation
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return PORTABLE
        return fastest_star_conv(x.device.type)

    def extra_repr(self) -> str:
        """Show channels and implementation when the model is printed."""
        out_channels, in_channels = self.weight.shape[:2]
        return f"{in_channels}, {out_channels}, implementation={self.implementation!r}"


@functools.cache
def fastest_star_conv(device_type: str) -> str:
    """Time every implementation on this kind of device, once a process, and name the fastest.

    The implementations are equal up to rounding, so a different choice on another machine changes
    speed and not results.

    Args:
        device_type: "cpu", "cuda", ...
    """
    with torch.random.fork_rng(enabled=True):  # measuring must not shift a seeded run
        seconds = {name: _time_once(fn, device_type) for name, fn in STAR_CONVS.items()}
    return choose_fastest("Star convolution", seconds, device_type)


def _time_once(function: Callable[[Tensor, Tensor, Tensor], Tensor], device_type: str) -> float:
    """Seconds at a typical size."""
    size, channels = 48, 64
    x = torch.rand(1, channels, size, size, device=device_type, requires_grad=True)
    distances = 4 * torch.rand(1, 4, size, size, device=device_type)
    weight = torch.rand(channels, channels, 3, 3, device=device_type, requires_grad=True)
    offsets = star_offsets(distances).detach().requires_grad_()
    return time_passes(function, (x, offsets, weight), device_type)
