"""VFNet's head: initial box, star convolutions, refined box, IoU-aware score (Sec. 4.2-4.4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.conv_tower import ConvTower, conv_norm_relu
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.layers.deform.star_conv import StarConv2d, Stars
from vfnet_d2.layers.deform.star_ops import star_offsets
from vfnet_d2.layers.scale import Scale
from vfnet_d2.modeling.dense.heads.init import init_head
from vfnet_d2.modeling.dense.heads.refinement import Refinement, distances
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.structures import BoxStage, DenseBoxes, HeadOutputs


@HEAD_REGISTRY.register()
class VFNetHead(nn.Module):
    """Predict K scores and two boxes, initial and refined, at every cell.

    Boxes are distances (left, top, right, bottom) to the sides, in units of the cell's anchor
    side, which is ``anchor_scale`` strides: the encoding of ``Box2BoxTransformLinear``.

    Args:
        in_channels: channels of every feature map.
        num_classes: K.
        num_levels: L; each level has its own two box scales, all other weights are shared.
        channels: channels of the towers.
        num_convs: convolutions of each tower.
        norm: norm of the towers, a name of Detectron2's ``get_norm``.
        star: classify at the star's points; the raw VFNet of Table 3 has one more block of the
            tower instead.
        refinement: predict refined boxes from the star's points; otherwise the initial boxes are
            the only ones.
        deform_last: make each tower's last convolution a modulated deformable one, as the
            published models with deformable backbones do.
        anchor_scale: anchor side in strides.
        star_gradient: share of the star offsets' gradient that reaches the initial box. The
            published weights were trained with 0.1; the paper does not mention it.
        prior_prob: foreground score that the classifier's bias starts from.
        init_std: standard deviation of the initial weights. 0.01 is the published recipe; runs of
            a few thousand iterations learn faster from 0.03 to 0.04.

    Raises:
        ValueError: refinement without star.
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
        star: bool = True,
        refinement: bool = True,
        deform_last: bool = False,
        anchor_scale: float = 8.0,
        star_gradient: float = 0.1,
        prior_prob: float = 0.01,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        if refinement and not star:
            raise ValueError("refinement reads the star's points: it needs star=True")
        self.star = star
        self.refinement = refinement
        self.anchor_scale = anchor_scale
        self.star_gradient = star_gradient
        tower_out = channels if num_convs else in_channels
        self.cls_tower, self.box_tower = (
            ConvTower(
                in_channels, channels, num_convs=num_convs, norm=norm, deform_last=deform_last
            )
            for _ in range(2)
        )
        self.box_conv = conv_norm_relu(tower_out, channels, norm=norm)
        self.box_pred = nn.Conv2d(channels, 4, 3, padding=1)
        self.box_scales = nn.ModuleList(Scale() for _ in range(num_levels))
        if refinement:
            self.refine_star = StarConv2d(tower_out, channels)
            self.refine_pred = nn.Conv2d(channels, 4, 3, padding=1)
            self.refine_scales = nn.ModuleList(Scale() for _ in range(num_levels))
        if star:
            self.cls_star = StarConv2d(tower_out, channels)
        else:
            self.cls_conv = conv_norm_relu(tower_out, channels, norm=norm)
        self.cls_pred = nn.Conv2d(channels, num_classes, 3, padding=1)
        init_head(self, self.cls_pred, std=init_std, prior_prob=prior_prob)
        for module in self.modules():
            if isinstance(module, ModulatedDeformConv2d):
                module.reset_offsets()

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Map L feature maps (N, C, H, W) to logits and the initial and, if any, refined boxes."""
        cls_features = [self.cls_tower(x) for x in features]
        box_features = [self.box_tower(x) for x in features]
        initial = [
            distances(self.box_pred(self.box_conv(x)), scale)
            for x, scale in zip(box_features, self.box_scales, strict=True)
        ]
        if not self.star:
            logits = [self.cls_pred(self.cls_conv(x)) for x in cls_features]
            return HeadOutputs(logits=logits, boxes=[DenseBoxes(initial)])
        stars = Stars([star_offsets(self._star_distances(x)) for x in initial])
        boxes: list[BoxStage] = [DenseBoxes(initial)]
        if self.refinement:
            refined = Refinement(
                self.refine_star,
                self.refine_pred,
                self.refine_scales,
                box_features,
                stars,
                initial,
            )
            # Gathered boxes are refined where they are looked at: candidates in inference,
            # positives in training.
            sparse = self.refine_star.can_skip_cells(box_features[0])
            boxes.append(refined if sparse else DenseBoxes(refined.maps()))
        logits = [
            self.cls_pred(F.relu(x)) for x in self.cls_star.forward_levels(cls_features, stars)
        ]
        return HeadOutputs(logits=logits, boxes=boxes)

    def _star_distances(self, boxes: Tensor) -> Tensor:
        """Distances in strides whose gradient is ``star_gradient`` of the boxes'."""
        return self.anchor_scale * torch.lerp(boxes.detach(), boxes, self.star_gradient)
