"""The floor of a detector's time: the same network without star convolutions."""

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.modeling.dense.one_stage import OneStageDetector


class PlainConv2d(StarConv2d):
    """An ordinary 3x3 convolution in a star convolution's place: the floor of its cost."""

    def forward_levels(self, features: Sequence[Tensor], stars: Any) -> list[Tensor]:
        """Convolve L feature maps (N, C, H, W); the stars are not looked at."""
        return [F.conv2d(x, self.weight, padding=1) for x in features]

    def can_skip_cells(self, x: Tensor) -> bool:
        """No: the floor computes every cell."""
        return False


def floor_network(model: OneStageDetector) -> OneStageDetector:
    """Copy a model and put ordinary 3x3 convolutions in place of its star convolutions."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, star in parent.named_children():
            if isinstance(star, StarConv2d):
                out_channels, in_channels = star.weight.shape[:2]
                floor = PlainConv2d(in_channels, out_channels)
                floor.weight = star.weight
                setattr(parent, name, floor)
    return model
