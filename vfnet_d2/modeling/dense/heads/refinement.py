"""VFNet's second box stage: initial distances times factors read at the star (Sec. 4.4)."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.deform.gather_plan import cell_rows, neighbour_rows
from vfnet_d2.layers.deform.star_conv import StarConv2d, Stars
from vfnet_d2.layers.precision import at_least_float32
from vfnet_d2.modeling.dense.structures import BoxStage


def distances(predicted: Tensor, scale: nn.Module) -> Tensor:
    """Positive distances or factors (N, 4, H, W) of raw predictions.

    They leave the convolutions' precision here: the step of half precision is a whole pixel on
    large boxes.
    """
    return scale(at_least_float32(predicted)).exp()


class Refinement(BoxStage):
    """Refined boxes of L levels.

    Args:
        star: the star convolution.
        predictor: 3x3 convolution from its output to four raw factors.
        scales: one scale of the raw factors a level.
        features: L maps (N, C, H, W).
        stars: their sampling points.
        initial: L maps (N, 4, H, W) of distances; the gradient does not go through them.
    """

    def __init__(
        self,
        star: StarConv2d,
        predictor: nn.Conv2d,
        scales: nn.ModuleList,
        features: list[Tensor],
        stars: Stars,
        initial: list[Tensor],
    ) -> None:
        self.star = star
        self.predictor = predictor
        self.scales = scales
        self.features = features
        self.stars = stars
        self.initial = initial

    def maps(self) -> list[Tensor]:
        """Return all refined distances, L maps (N, 4, H, W), computed once."""
        return self._maps

    @functools.cached_property
    def _maps(self) -> list[Tensor]:
        return [
            distances(self.predictor(F.relu(x)), scale) * start.detach()
            for x, scale, start in zip(
                self.star.forward_levels(self.features, self.stars),
                self.scales,
                self.initial,
                strict=True,
            )
        ]

    def at(self, image: Tensor, anchor: Tensor) -> Tensor:
        """Refined distances (P, 4) of chosen cells.

        Args:
            image: (P,) of the batch.
            anchor: (P,) index of the cell among those of all levels.
        """
        if len(image) == 0:
            # Parameters that no loss depends on would break distributed training: compute one.
            return self.at(image.new_zeros(1), anchor.new_zeros(1))[:0]
        sizes = torch.tensor([x.shape[2] * x.shape[3] for x in self.initial], device=anchor.device)
        ends = sizes.cumsum(0)
        level = torch.bucketize(anchor, ends, right=True)
        size, before = sizes[level], (ends - sizes)[level]
        # The table has a level's images one after the other.
        rows = len(self.initial[0]) * before + image * size + (anchor - before)
        # The predictor reads a neighbourhood of what the star convolution gives: that much of it
        # is computed, each cell once.
        neighbours, inside = neighbour_rows([(len(x), *x.shape[2:]) for x in self.initial], rows)
        needed, place = neighbours.unique(return_inverse=True)
        found = F.relu(self.star.forward_cells(self.features, self.stars, needed))
        raw = self._predict(at_least_float32(found), place, inside)
        scales = torch.cat([scale(raw.new_ones(1)) for scale in self.scales])
        factors = (raw * scales[level, None]).exp()
        return factors * cell_rows(self.initial).detach().index_select(0, rows)

    def _predict(self, found: Tensor, place: Tensor, inside: Tensor) -> Tensor:
        """The predictor's answers (P, 4) from the star convolution's results.

        Args:
            found: (U, C) of the needed cells.
            place: (P, 9) which of them the taps of each cell read.
            inside: (P, 9) whether they do.
        """
        taps = self.predictor.weight.permute(2, 3, 0, 1).flatten(0, 2).to(found.dtype)
        with torch.autocast(found.device.type, enabled=False):
            answers = F.linear(found, taps).view(len(found), place.shape[1], 4)
        read = answers[place, torch.arange(place.shape[1], device=place.device)]
        raw = (read * inside[..., None]).sum(dim=1)
        return raw if self.predictor.bias is None else raw + self.predictor.bias
