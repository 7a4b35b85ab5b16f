"""Tests of vfnet_d2.modeling.backbone.dilated_encoder."""

from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import Backbone, build_backbone
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.config import add_vfnet_config
from vfnet_d2.modeling.backbone.dilated_encoder import DilatedEncoder
from vfnet_d2.modeling.backbone.resnet import build_resnet


def encoder(**options: Any) -> DilatedEncoder:
    bottom_up = build_resnet(depth=18, stem_channels=8, res2_channels=8, out_features=["res5"])
    return DilatedEncoder(bottom_up=bottom_up, channels=24, block_channels=16, **options)


def by_hand(network: DilatedEncoder, features: Tensor) -> Tensor:
    """The encoder's formula, with norms on stored statistics."""

    def layer(conv: Any, x: Tensor, *, relu: bool, **geometry: int) -> Tensor:
        norm = conv.norm
        x = F.conv2d(x, conv.weight, conv.bias, **geometry)
        x = (x - norm.running_mean[:, None, None]) / (norm.running_var + 1e-5)[:, None, None].sqrt()
        x = x * norm.weight[:, None, None] + norm.bias[:, None, None]
        return x.relu() if relu else x

    x = layer(network.lateral, features, relu=False)
    x = layer(network.output, x, relu=False, padding=1)
    for block, dilation in zip(network.blocks, (2, 4, 6, 8), strict=True):
        inner = layer(block.conv1, x, relu=True)
        inner = layer(block.conv2, inner, relu=True, padding=dilation, dilation=dilation)
        x = x + layer(block.conv3, inner, relu=True)
    return x


def test_is_made_as_drawn() -> None:
    network = encoder().eval().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean)
            nn.init.normal_(module.bias)
    image = torch.randn(2, 3, 96, 128, dtype=torch.float64)
    with torch.no_grad():
        features = network.bottom_up(image)["res5"]
        torch.testing.assert_close(network(image)["p5"], by_hand(network, features))
    # With a gradient the norms are passes of their own: the same.
    torch.testing.assert_close(network(image)["p5"].detach(), by_hand(network, features))


def test_shape_stride_and_padding() -> None:
    network = encoder()
    assert isinstance(network, Backbone)
    assert network.size_divisibility == 32
    shape = network.output_shape()["p5"]
    assert (shape.channels, shape.stride) == (24, 32)
    assert network(torch.zeros(1, 3, 64, 96))["p5"].shape == (1, 24, 2, 3)


def test_which_convolutions_have_biases_and_how_weights_start() -> None:
    network = encoder()
    assert network.lateral.bias is not None and network.output.bias is not None
    for block in network.blocks:
        for conv in (block.conv1, block.conv2, block.conv3):
            assert conv.bias is None
            # four standard errors of a normal distribution's deviation
            tolerance = 4 / (2 * conv.weight.numel()) ** 0.5
            assert conv.weight.std().item() == pytest.approx(0.01, rel=tolerance)
    for conv in (network.lateral, network.output):
        inputs = conv.weight[0].numel()
        assert conv.weight.abs().max() <= (3 / inputs) ** 0.5 * (1 + torch.finfo().eps)
        assert (conv.bias == 0).all()


def config(*options: Any) -> CfgNode:
    cfg = add_vfnet_config(get_cfg())
    cfg.merge_from_list(
        [
            *("MODEL.BACKBONE.NAME", "build_dilated_resnet_backbone"),
            *("MODEL.RESNETS.NORM", "FrozenBN", "MODEL.RESNETS.STRIDE_IN_1X1", True),
            *("MODEL.RESNETS.OUT_FEATURES", ["res5"], "MODEL.RESNETS.STEM_OUT_CHANNELS", 8),
            *("MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.RESNETS.WIDTH_PER_GROUP", 4),
            *("MODEL.DILATED_ENCODER.CHANNELS", 24),
            *options,
        ]
    )
    return cfg


def test_the_yaml_builder_follows_its_keys() -> None:
    cfg = config("MODEL.DILATED_ENCODER.DILATIONS", [3, 5], "MODEL.DILATED_ENCODER.NORM", "GN")
    cfg.MODEL.DILATED_ENCODER.CHANNELS = cfg.MODEL.DILATED_ENCODER.BLOCK_CHANNELS = 32
    network = build_backbone(cfg)
    assert [block.conv2.dilation for block in network.blocks] == [(3, 3), (5, 5)]
    assert isinstance(network.blocks[0].conv1.norm, nn.GroupNorm)
    assert network.output_shape()["p5"].channels == 32


def test_dc5_keeps_the_size_of_c4_and_dilates() -> None:
    network = build_backbone(config("MODEL.RESNETS.RES5_DILATION", 2))
    assert network.size_divisibility == 16
    assert network(torch.zeros(1, 3, 64, 96))["p5"].shape == (1, 24, 4, 6)
    res5 = network.bottom_up.res5
    assert [block.conv2.dilation for block in res5] == [(2, 2)] * 3
    assert [block.conv1.stride for block in res5] == [(1, 1)] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"res5_dilation": 4}, r"RES5_DILATION\) is 4; choose 1 or 2"),
        ({"res5_dilation": 2, "depth": 18}, r"is for bottlenecks: depth is 18"),
    ],
)
def test_dilations_that_do_not_exist(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_resnet(**options)
