"""Tests of vfnet_d2.modeling.backbone.fpn."""

import math
from collections.abc import Callable

import pytest
import torch
from detectron2.layers import Conv2d
from detectron2.modeling import Backbone, build_backbone
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.small_model import small_config
from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.layers.folded_conv import FoldedConv2d
from vfnet_d2.modeling.backbone.fpn import build_fpn
from vfnet_d2.modeling.backbone.res2net import build_res2net
from vfnet_d2.modeling.backbone.resnet import build_resnet

FLOAT32_ULP = torch.finfo(torch.float32).eps


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A narrow pyramid of 32 channels in evaluation mode."""
    bottom_up = build_resnet(depth=18, stem_channels=8, res2_channels=8)
    return build_fpn(bottom_up=bottom_up, channels=32).eval().double()


@pytest.fixture(scope="module")
def image() -> Tensor:
    """A batch of one image."""
    return torch.randn(
        1, 3, 128, 192, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )


def test_names_strides_and_channels_of_the_levels(network: nn.Module) -> None:
    shapes = network.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {
        "p3": 8,
        "p4": 16,
        "p5": 32,
        "p6": 64,
        "p7": 128,
    }
    assert {shape.channels for shape in shapes.values()} == {32}


def test_sizes_of_the_maps(network: nn.Module, image: Tensor) -> None:
    sizes = {name: tuple(level.shape[2:]) for name, level in network(image).items()}
    assert sizes == {"p3": (16, 24), "p4": (8, 12), "p5": (4, 6), "p6": (2, 3), "p7": (1, 2)}


def test_levels_are_made_as_drawn(network: nn.Module, image: Tensor) -> None:
    """Laterals, nearest upsampling, output convolutions; P6 from P5, P7 from ReLU(P6)."""
    maps, levels = network.bottom_up(image), network(image)
    merged = network.fpn_lateral5(maps["res5"])
    torch.testing.assert_close(levels["p5"], network.fpn_output5(merged))
    for index in (4, 3):
        lateral = getattr(network, f"fpn_lateral{index}")(maps[f"res{index}"])
        merged = lateral + F.interpolate(merged, scale_factor=2, mode="nearest")
        output = getattr(network, f"fpn_output{index}")(merged)
        torch.testing.assert_close(levels[f"p{index}"], output)
    top = network.top_block
    p6 = F.conv2d(levels["p5"], top.p6.weight, top.p6.bias, stride=2, padding=1)
    torch.testing.assert_close(levels["p6"], p6)
    p7 = F.conv2d(F.relu(p6), top.p7.weight, top.p7.bias, stride=2, padding=1)
    torch.testing.assert_close(levels["p7"], p7)


def test_convolutions_start_xavier_uniform_with_bias_zero(network: nn.Module) -> None:
    convolutions = [
        *network.lateral_convs,
        *network.output_convs,
        network.top_block.p6,
        network.top_block.p7,
    ]
    assert len(convolutions) == 8
    for convolution in convolutions:
        outputs, inputs, height, width = convolution.weight.shape
        limit = math.sqrt(6 / ((inputs + outputs) * height * width))
        # drawn in float32, whose nearest number to the limit may lie above it
        assert convolution.weight.abs().max() <= limit * (1 + FLOAT32_ULP)
        # a uniform distribution's deviation; four standard errors
        expected = limit / math.sqrt(3)
        tolerance = 4 / math.sqrt(convolution.weight.numel())
        assert convolution.weight.std().item() == pytest.approx(expected, rel=tolerance)
        assert (convolution.bias == 0).all()


def test_the_yaml_builder_follows_detectron2_s_keys() -> None:
    network = build_backbone(
        small_config(
            *("MODEL.RESNETS.NORM", "FixedStatsBN", "MODEL.FPN.OUT_CHANNELS", 24),
            *("MODEL.RESNETS.RES2_OUT_CHANNELS", 8, "MODEL.BACKBONE.FREEZE_AT", 1),
            *("MODEL.FPN.NORM", "BN"),
        )
    )
    assert network.output_shape()["p3"].channels == 24
    assert network.bottom_up.output_shape()["res5"].channels == 64
    assert isinstance(network.bottom_up.res2[0].conv1.norm, FixedStatsBatchNorm2d)
    assert isinstance(network.fpn_output3.norm, nn.BatchNorm2d)
    assert not next(network.bottom_up.stem.parameters()).requires_grad
    assert next(network.bottom_up.res2.parameters()).requires_grad


@pytest.mark.usefixtures("float64")
def test_top_levels_from_the_backbone_with_norms_and_without_relu(image: Tensor) -> None:
    bottom_up = build_resnet(depth=18, stem_channels=8, res2_channels=8)
    network = build_fpn(
        bottom_up=bottom_up, channels=32, norm="GN", top_input="res5", top_relu=False
    ).eval()
    top, levels = network.top_block, network(image)
    assert top.p6.bias is None
    p6 = top.p6.norm(F.conv2d(bottom_up(image)["res5"], top.p6.weight, stride=2, padding=1))
    torch.testing.assert_close(levels["p6"], p6)
    p7 = top.p7.norm(F.conv2d(p6, top.p7.weight, stride=2, padding=1))
    torch.testing.assert_close(levels["p7"], p7)


def test_an_unknown_top_input_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"MODEL.FPN.TOP_INPUT is 'p4', .*\['p5', 'res5'\]"):
        build_backbone(small_config("MODEL.FPN.TOP_INPUT", "p4"))


DEFORMABLE = ["MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]]
RES2NET = [
    *("MODEL.BACKBONE.NAME", "build_p3p7_res2net_fpn_backbone", "MODEL.RESNETS.DEPTH", 50),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", 2),
]


@pytest.mark.parametrize("options", [["MODEL.RESNETS.DEPTH", 50], RES2NET])
def test_the_yaml_builders_follow_detectron2_s_deformable_keys(options: list[object]) -> None:
    options = [*options, *DEFORMABLE, "MODEL.RESNETS.DEFORM_MODULATED", True]
    network = build_backbone(small_config(*options))
    stages = {
        name.split(".")[1]
        for name, part in network.named_modules()
        if isinstance(part, ModulatedDeformConv2d)
    }
    assert stages == {"res3", "res4", "res5"}


def test_the_yaml_builder_of_res2net_takes_its_width() -> None:
    network = build_backbone(small_config(*RES2NET, "MODEL.FPN.OUT_CHANNELS", 24))
    assert network.bottom_up.res3[0].convs[0].weight.shape[:2] == (4, 4)
    assert network.output_shape()["p3"].channels == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.RESNETS.DEPTH", 50, *DEFORMABLE], "DEFORM_MODULATED is False.* set it to True"),
        (
            [
                *("MODEL.RESNETS.DEPTH", 50, *DEFORMABLE),
                *("MODEL.RESNETS.DEFORM_MODULATED", True, "MODEL.RESNETS.DEFORM_NUM_GROUPS", 2),
            ],
            "DEFORM_NUM_GROUPS is 2.* set it to 1",
        ),
        ([*RES2NET, "MODEL.RESNETS.NUM_GROUPS", 32], "NUM_GROUPS to 1 .* not 32 and False"),
        ([*RES2NET, "MODEL.RESNETS.STRIDE_IN_1X1", True], "STRIDE_IN_1X1 to False, not 1 and True"),
    ],
)
def test_keys_without_a_meaning_here_are_named(options: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(small_config(*options))


@pytest.mark.parametrize("build", [build_resnet, lambda **options: build_res2net(depth=50)])
def test_every_convolution_with_a_plain_norm_folds_it(build: Callable[..., Backbone]) -> None:
    made = build_fpn(bottom_up=build(depth=50), channels=32, norm="BN")
    convs = {name: part for name, part in made.named_modules() if isinstance(part, Conv2d)}
    assert len(convs) > 50  # those of a ResNet-50, and eight of the pyramid
    assert {type(conv) for conv in convs.values()} == {FoldedConv2d}


def test_the_pyramid_goes_through_the_convolutions_that_it_registers() -> None:
    made = build_fpn(bottom_up=build_resnet(depth=18, res2_channels=8), channels=32, norm="BN")
    laterals = [made.fpn_lateral5, made.fpn_lateral4, made.fpn_lateral3]
    outputs = [made.fpn_output5, made.fpn_output4, made.fpn_output3]
    assert made.lateral_convs == laterals and made.output_convs == outputs
    assert {type(conv) for conv in laterals + outputs} == {FoldedConv2d}
