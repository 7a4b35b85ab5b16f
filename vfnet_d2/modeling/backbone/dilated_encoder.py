"""YOLOF's encoder: one map that sees objects of all sizes (Chen et al., CVPR 2021, Sec. 4.1).

It stands in a feature pyramid's place: instead of several levels, residual blocks of growing
dilation widen what a cell of a backbone's last stage sees.
"""

from collections.abc import Sequence

import fvcore.nn.weight_init as weight_init
from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.folded_conv import fold_norms
from vfnet_d2.modeling.backbone.resnet import resnet_from_config

OUTPUT = "p5"


class DilatedBottleneck(nn.Module):
    """A residual block: 1x1, dilated 3x3, 1x1, each with norm and ReLU, and no ReLU after the sum.

    Args:
        channels: of input and output (N, C, H, W).
        block_channels: within.
        dilation: of the 3x3 convolution.
        norm: a norm name of Detectron2's ``get_norm``.
    """

    def __init__(self, channels: int, block_channels: int, *, dilation: int, norm: str) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int, size: int, spread: int = 1) -> Conv2d:
            return Conv2d(
                inputs,
                outputs,
                kernel_size=size,
                padding=spread * (size // 2),
                dilation=spread,
                bias=not norm,
                norm=get_norm(norm, outputs),
                activation=F.relu,
            )

        self.conv1 = conv(channels, block_channels, 1)
        self.conv2 = conv(block_channels, block_channels, 3, dilation)
        self.conv3 = conv(block_channels, channels, 1)
        for layer in (self.conv1, self.conv2, self.conv3):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to a map of the same shape."""
        out: Tensor = x + self.conv3(self.conv2(self.conv1(x)))
        return out


class DilatedEncoder(Backbone):
    """A backbone's last stage, projected to ``channels`` and encoded by dilated residual blocks.

    Args:
        bottom_up: backbone whose output ``in_feature`` is read.
        in_feature: name of that output.
        channels: of the result, which is called "p5".
        block_channels: within the residual blocks.
        dilations: one residual block each.
        norm: a norm name of Detectron2's ``get_norm``, after every convolution.
    """

    def __init__(
        self,
        *,
        bottom_up: Backbone,
        in_feature: str = "res5",
        channels: int = 512,
        block_channels: int = 128,
        dilations: Sequence[int] = (2, 4, 6, 8),
        norm: str = "BN",
    ) -> None:
        super().__init__()
        shape = bottom_up.output_shape()[in_feature]
        self.bottom_up = bottom_up
        self.in_feature = in_feature
        # These two have a bias also before a norm, as the published weights do.
        self.lateral = Conv2d(
            shape.channels, channels, kernel_size=1, norm=get_norm(norm, channels)
        )
        self.output = Conv2d(
            channels, channels, kernel_size=3, padding=1, norm=get_norm(norm, channels)
        )
        for layer in (self.lateral, self.output):
            weight_init.c2_xavier_fill(layer)
        self.blocks = nn.Sequential(
            *(
                DilatedBottleneck(channels, block_channels, dilation=dilation, norm=norm)
                for dilation in dilations
            )
        )
        fold_norms(self)
        self._out_features = [OUTPUT]
        self._out_feature_channels = {OUTPUT: channels}
        self._out_feature_strides = {OUTPUT: shape.stride}

    @property
    def size_divisibility(self) -> int:
        """Sides of an image are padded to a multiple of the map's stride, in pixels."""
        return int(self._out_feature_strides[OUTPUT])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map images (N, 3, H, W) to {"p5": (N, C, H / stride, W / stride)}."""
        features = self.bottom_up(x)[self.in_feature]
        return {OUTPUT: self.blocks(self.output(self.lateral(features)))}


@BACKBONE_REGISTRY.register()
def build_dilated_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> DilatedEncoder:
    """Build :class:`DilatedEncoder` over a ResNet from the RESNETS and DILATED_ENCODER nodes."""
    del input_shape
    node = cfg.MODEL.DILATED_ENCODER
    return DilatedEncoder(
        bottom_up=resnet_from_config(cfg),
        **{name.lower(): value for name, value in node.items()},
    )
