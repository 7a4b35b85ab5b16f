"""A YOLOF with the modules' names of github.com/chensnathan/YOLOF, for tests of its checkpoints.

Written from the names and shapes of its tensors alone, and small enough to run in milliseconds.
"""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from tests.helpers.shrink import CHANNELS, NUM_CLASSES, shrunk_config
from vfnet_d2.modeling.backbone.resnet import resnet_from_config

ANCHORS = 5


def yolof_config(*options: Any) -> CfgNode:
    """Our small YOLOF with as many layers as the published one, with BN on its statistics."""
    head = "MODEL.ONE_STAGE.HEAD.YOLOFHead"
    full = (f"{head}.NUM_CLS_CONVS", 2, f"{head}.NUM_BOX_CONVS", 4)
    return shrunk_config("yolof/yolof_R_50_C5_1x", *full, *options)


def small_yolof() -> nn.Module:
    """Our model of :func:`yolof_config`, for inference."""
    return build_model(yolof_config()).eval()


def conv_norm(inputs: int, outputs: int, size: int, dilation: int = 1) -> list[nn.Module]:
    """A convolution with a bias, and a BN."""
    padding = dilation * (size // 2)
    conv = nn.Conv2d(inputs, outputs, size, padding=padding, dilation=dilation)
    return [conv, nn.BatchNorm2d(outputs)]


class Block(nn.Module):
    """A residual block."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        inner = CHANNELS // 2
        self.conv1 = nn.Sequential(*conv_norm(CHANNELS, inner, 1), nn.ReLU())
        self.conv2 = nn.Sequential(*conv_norm(inner, inner, 3, dilation), nn.ReLU())
        self.conv3 = nn.Sequential(*conv_norm(inner, CHANNELS, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return x + self.conv3(self.conv2(self.conv1(x)))


class Encoder(nn.Module):
    """Two projections and four blocks."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.lateral_conv, self.lateral_norm = conv_norm(inputs, CHANNELS, 1)
        self.fpn_conv, self.fpn_norm = conv_norm(CHANNELS, CHANNELS, 3)
        self.dilated_encoder_blocks = nn.Sequential(*map(Block, (2, 4, 6, 8)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, C, H, W)."""
        x = self.fpn_norm(self.fpn_conv(self.lateral_norm(self.lateral_conv(x))))
        return self.dilated_encoder_blocks(x)


class Decoder(nn.Module):
    """Class scores with objectness, and boxes, per cell, anchor and class or side."""

    def __init__(self) -> None:
        super().__init__()

        def tower(count: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [*conv_norm(CHANNELS, CHANNELS, 3), nn.ReLU()]
            return nn.Sequential(*layers)

        self.cls_subnet, self.bbox_subnet = tower(2), tower(4)
        self.cls_score = nn.Conv2d(CHANNELS, ANCHORS * NUM_CLASSES, 3, padding=1)
        self.bbox_pred = nn.Conv2d(CHANNELS, ANCHORS * 4, 3, padding=1)
        self.object_pred = nn.Conv2d(CHANNELS, ANCHORS, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, A, K, H, W) and deltas (N, A, 4, H, W)."""
        seen = self.bbox_subnet(x)
        scores = self.cls_score(self.cls_subnet(x)).unflatten(1, (ANCHORS, NUM_CLASSES))
        objectness = self.object_pred(seen).unflatten(1, (ANCHORS, 1))
        logits = (scores.double().sigmoid() * objectness.double().sigmoid()).logit()
        return logits, self.bbox_pred(seen).unflatten(1, (ANCHORS, 4))


class TheirYOLOF(nn.Module):
    """The whole, with values in every tensor that tell biases, means and scales apart."""

    def __init__(self) -> None:
        super().__init__()
        cfg = yolof_config()
        self.backbone = resnet_from_config(cfg)
        self.encoder = Encoder(self.backbone.output_shape()["res5"].channels)
        self.decoder = Decoder()
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(cfg.MODEL.PIXEL_STD).view(3, 1, 1))
        generator = torch.Generator().manual_seed(0)
        for name, tensor in self.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif name.endswith((".bias", "running_mean")) and not name.startswith("backbone"):
                tensor.uniform_(-1, 1, generator=generator)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalised images to the decoder's outputs."""
        return self.decoder(self.encoder(self.backbone(images)["res5"]))
