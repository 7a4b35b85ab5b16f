"""YOLOF's head: class scores with an implicit objectness (Chen et al., CVPR 2021, Sec. 4.3)."""

import math

import torch
from torch import Tensor, nn

from vfnet_d2.layers.conv_tower import ConvTower
from vfnet_d2.layers.folded_conv import fold_norms
from vfnet_d2.layers.precision import at_least_float32
from vfnet_d2.modeling.dense.heads.init import init_head
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs

# The reference keeps each exponential below 1e8; a logit of 18.4 is a score of 1 in float32.
_LARGEST_LOGIT = math.log(1e8)


def with_objectness(logits: Tensor, objectness: Tensor) -> Tensor:
    """Return the logits of ``sigmoid(logits) * sigmoid(objectness)``.

    Args:
        logits: of the classes, before the sigmoid.
        objectness: of a shape that broadcasts with it, before the sigmoid.

    Returns:
        of the shape of ``logits``. An argument beyond ln(1e8) = 18.4 is taken for 18.4 in the
        normalising term, so that no exponential overflows.
    """
    class_exp, object_exp = (x.clamp(max=_LARGEST_LOGIT).exp() for x in (logits, objectness))
    return logits + objectness - torch.log(1 + class_exp + object_exp)


@HEAD_REGISTRY.register()
class YOLOFHead(nn.Module):
    """Predict K scores and a box for each of the A anchors of every cell.

    The scores come from one tower; box and objectness come from another.

    Args:
        in_channels: channels of every feature map.
        num_classes: K.
        num_anchors: A, as the anchor generator makes them.
        channels: channels of the towers.
        num_cls_convs: convolutions of the tower of the classes.
        num_box_convs: convolutions of the tower of the boxes.
        norm: norm of the towers, a name of Detectron2's ``get_norm``; "" has biases instead.
        prior_prob: foreground score that the classifier's bias starts from.
        init_std: standard deviation of the initial weights.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        num_anchors: int,
        channels: int = 512,
        num_cls_convs: int = 2,
        num_box_convs: int = 4,
        norm: str = "BN",
        prior_prob: float = 0.01,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        self.cls_tower = ConvTower(in_channels, channels, num_convs=num_cls_convs, norm=norm)
        self.box_tower = ConvTower(in_channels, channels, num_convs=num_box_convs, norm=norm)
        fold_norms(self)
        seen = [channels if count else in_channels for count in (num_cls_convs, num_box_convs)]
        self.cls_pred = nn.Conv2d(seen[0], num_anchors * num_classes, 3, padding=1)
        self.box_pred = nn.Conv2d(seen[1], num_anchors * 4, 3, padding=1)
        self.objectness_pred = nn.Conv2d(seen[1], num_anchors, 3, padding=1)
        init_head(self, self.cls_pred, std=init_std, prior_prob=prior_prob)

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Map L feature maps (N, C, H, W) to logits and boxes of one stage."""
        logits, boxes = [], []
        for x in features:
            box_features = self.box_tower(x)
            boxes.append(self.box_pred(box_features))
            objectness = at_least_float32(self.objectness_pred(box_features))
            scores = at_least_float32(self.cls_pred(self.cls_tower(x)))
            by_anchor = scores.unflatten(1, (self.num_anchors, -1))
            logits.append(with_objectness(by_anchor, objectness.unsqueeze(2)).flatten(1, 2))
        return HeadOutputs(logits=logits, boxes=[DenseBoxes(boxes)])
