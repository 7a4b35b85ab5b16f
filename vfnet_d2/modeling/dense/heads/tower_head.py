"""The plain dense head: two towers of convolutions and a predictor on each (RetinaNet, Fig. 3)."""

from torch import Tensor, nn

from vfnet_d2.layers.conv_tower import ConvTower
from vfnet_d2.layers.precision import at_least_float32
from vfnet_d2.layers.scale import Scale
from vfnet_d2.modeling.dense.heads.init import init_head
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs


@HEAD_REGISTRY.register()
class TowerHead(nn.Module):
    """Predict K scores and four numbers for each of the A anchors of every cell.

    What the four numbers mean is the box coder's matter. The defaults are the head of ATSS
    (CVPR 2020, Sec. 4); RetinaNet and FoveaBox have neither norm, scales nor centerness.

    Args:
        in_channels: channels of every feature map.
        num_classes: K.
        num_levels: L; with ``level_scales`` each level has its own, all other weights are shared.
        num_anchors: A, as the anchor generator makes them.
        channels: channels of the towers.
        num_convs: convolutions of each tower.
        norm: norm of the towers, a name of Detectron2's ``get_norm``; "" has biases instead.
        level_scales: multiply the boxes by a learnable scalar per level (FCOS, Sec. 3.2).
        centerness: predict the centerness of each anchor, beside its box (FCOS, Sec. 3.3).
        prior_prob: foreground score that the classifier's bias starts from.
        init_std: standard deviation of the initial weights.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        num_levels: int,
        num_anchors: int,
        channels: int = 256,
        num_convs: int = 4,
        norm: str = "GN",
        level_scales: bool = True,
        centerness: bool = True,
        prior_prob: float = 0.01,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        out = channels if num_convs else in_channels
        self.cls_tower = ConvTower(in_channels, channels, num_convs=num_convs, norm=norm)
        self.box_tower = ConvTower(in_channels, channels, num_convs=num_convs, norm=norm)
        self.cls_pred = nn.Conv2d(out, num_anchors * num_classes, 3, padding=1)
        self.box_pred = nn.Conv2d(out, num_anchors * 4, 3, padding=1)
        self.box_scales = nn.ModuleList(
            Scale() if level_scales else nn.Identity() for _ in range(num_levels)
        )
        self.centerness_pred = nn.Conv2d(out, num_anchors, 3, padding=1) if centerness else None
        init_head(self, self.cls_pred, std=init_std, prior_prob=prior_prob)

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Map L feature maps (N, C, H, W) to logits, boxes of one stage and the centerness."""
        logits = [self.cls_pred(self.cls_tower(x)) for x in features]
        box_features = [self.box_tower(x) for x in features]
        # Boxes leave the convolutions' precision before they are scaled.
        boxes = [
            scale(at_least_float32(self.box_pred(x)))
            for x, scale in zip(box_features, self.box_scales, strict=True)
        ]
        quality = None
        if self.centerness_pred is not None:
            quality = [self.centerness_pred(x) for x in box_features]
        return HeadOutputs(logits=logits, boxes=[DenseBoxes(boxes)], quality=quality)
