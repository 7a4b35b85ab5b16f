"""RepPoints' head: boxes as sets of nine points, found and then refined (ICCV 2019, Sec. 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.conv_tower import ConvTower
from vfnet_d2.layers.deform.star_conv import StarConv2d, Stars
from vfnet_d2.layers.precision import at_least_float32
from vfnet_d2.modeling.dense.heads.init import init_head
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs

# As many points as the deformable 3x3 convolution has taps: the points are where it samples.
NUM_POINTS = 9


@HEAD_REGISTRY.register()
class RepPointsHead(nn.Module):
    """Predict K scores and two sets of points, initial and refined, at every cell.

    A set of points stands for the box around their mean whose half sides are their standard
    deviations times learnt factors (the paper's moment-based conversion). Boxes are corners
    (x1, y1, x2, y2) relative to the cell's centre, in units of the cell's anchor side, which is
    ``anchor_scale`` strides: the encoding of
    :class:`~vfnet_d2.modeling.dense.box_coders.CornerOffsets`.

    Args:
        in_channels: channels of every feature map.
        num_classes: K.
        num_levels: not used: the levels share all weights.
        channels: channels of the towers and of what samples at the points.
        num_convs: convolutions of each tower.
        norm: norm of the towers, a name of Detectron2's ``get_norm``.
        anchor_scale: anchor side in strides.
        point_gradient: share of the sampling points' gradient that reaches the initial points.
        moment_gradient: share of the gradient that reaches the factors of the sides, which every
            box of every image pulls at.
        prior_prob: foreground score that the classifier's bias starts from.
        init_std: standard deviation of the initial weights.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        num_levels: int,
        channels: int = 256,
        num_convs: int = 3,
        norm: str = "GN",
        anchor_scale: float = 4.0,
        point_gradient: float = 0.1,
        moment_gradient: float = 0.01,
        prior_prob: float = 0.01,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        del num_levels
        self.anchor_scale = anchor_scale
        self.point_gradient = point_gradient
        self.moment_gradient = moment_gradient
        tower_out = channels if num_convs else in_channels
        self.cls_tower = ConvTower(in_channels, channels, num_convs=num_convs, norm=norm)
        self.point_tower = ConvTower(in_channels, channels, num_convs=num_convs, norm=norm)
        self.point_conv = nn.Conv2d(tower_out, channels, 3, padding=1)
        self.point_pred = nn.Conv2d(channels, 2 * NUM_POINTS, 1)
        self.refine_conv = StarConv2d(tower_out, channels)
        self.refine_pred = nn.Conv2d(channels, 2 * NUM_POINTS, 1)
        self.cls_conv = StarConv2d(tower_out, channels)
        self.cls_pred = nn.Conv2d(channels, num_classes, 1)
        # Logarithms of half a box's sides over the points' deviations: width, height.
        self.moment_transfer = nn.Parameter(torch.zeros(2))
        init_head(self, self.cls_pred, std=init_std, prior_prob=prior_prob)

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Map L feature maps (N, C, H, W) to logits and the initial and refined boxes."""
        cls_features = [self.cls_tower(x) for x in features]
        point_features = [self.point_tower(x) for x in features]
        # Points leave the convolutions' precision here, as VFNet's distances do.
        initial = [
            at_least_float32(self.point_pred(F.relu(self.point_conv(x)))) for x in point_features
        ]
        samples = Stars([self._offsets(points) for points in initial])
        refined = [
            at_least_float32(self.refine_pred(F.relu(x))) + points.detach()
            for x, points in zip(
                self.refine_conv.forward_levels(point_features, samples), initial, strict=True
            )
        ]
        logits = [
            self.cls_pred(F.relu(x)) for x in self.cls_conv.forward_levels(cls_features, samples)
        ]
        boxes = [DenseBoxes([self._boxes(x) for x in stage]) for stage in (initial, refined)]
        return HeadOutputs(logits=logits, boxes=boxes)

    def _offsets(self, points: Tensor) -> Tensor:
        """What moves the taps of a 3x3 grid onto the points, both (N, 18, H, W) in strides.

        Its gradient is ``point_gradient`` of the points'.
        """
        grid = [float(step) for y in (-1, 0, 1) for x in (-1, 0, 1) for step in (y, x)]
        taps = points.new_tensor(grid)[:, None, None]
        return torch.lerp(points.detach(), points, self.point_gradient) - taps

    def _boxes(self, points: Tensor) -> Tensor:
        """Boxes (N, 4, H, W) in anchor sides, of points (N, 18, H, W): (y, x) pairs in strides."""
        shares = torch.lerp(
            self.moment_transfer.detach(), self.moment_transfer, self.moment_gradient
        )
        width, height = shares.exp()
        y, x = points.unflatten(1, (NUM_POINTS, 2)).unbind(dim=2)
        centre = torch.stack([x.mean(dim=1), y.mean(dim=1)], dim=1)
        half = torch.stack([x.std(dim=1) * width, y.std(dim=1) * height], dim=1)
        return torch.cat([centre - half, centre + half], dim=1) / self.anchor_scale
