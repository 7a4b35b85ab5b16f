"""Tests of vfnet_d2.modeling.complexity."""

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from tests.helpers.small_model import small_model
from tests.helpers.their_yolof import small_yolof
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.modeling.complexity import count_flops, count_parameters, deform_conv_flops


def count_layer(layer: nn.Module, channels: int) -> int:
    """FLOPs of a layer over an image of 6 x 8."""
    analysis = FlopCountAnalysis(layer, torch.zeros(2, channels, 6, 8))
    analysis.set_op_handle("torchvision::deform_conv2d", deform_conv_flops)
    analysis.unsupported_ops_warnings(False)
    return int(analysis.total())


@pytest.mark.parametrize("groups", [1, 4])
def test_operations_of_a_deformable_convolution(groups: int) -> None:
    layer = ModulatedDeformConv2d(8, 16, kernel_size=3, stride=2, padding=1, groups=groups)
    places = 2 * 3 * 4  # two images, 3 x 4 cells after the stride
    offsets = places * 27 * 8 * 9  # 27 outputs of a plain 3x3 convolution over 8 channels
    convolution = places * 16 * (8 // groups) * 9
    sampling = places * 8 * 9 * (4 + 1)  # four corners and the mask
    assert count_layer(layer, 8) == offsets + convolution + sampling


def test_operations_of_a_detector_by_hand() -> None:
    """Each plain convolution: its weights at every cell; the rest is told below."""
    model = small_model()
    cells = {"stem": 64**2, "res2": 32**2, "res3": 16**2, "res4": 8**2, "res5": 4**2}
    levels = [16**2, 8**2, 4**2, 2**2, 1]
    convolutions = norms = 0
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d):
            weights = part.weight.numel()
            stage = name.split(".")[2] if "bottom_up" in name else ""
            if stage:
                places = cells[stage]
            elif "fpn" in name or "top_block" in name:
                places = levels[int(name[-1]) - 3]
            else:
                places = sum(levels)
            convolutions += weights * places
            if isinstance(getattr(part, "norm", None), nn.BatchNorm2d):
                norms += part.out_channels * places * 2  # scale and shift
            elif isinstance(getattr(part, "norm", None), nn.GroupNorm):
                norms += part.out_channels * places * 5
    stars = 2 * sum(levels) * (64 * 64 * 9 + 64 * 9 * 4)  # two star convolutions of 64 channels
    # nearest upsampling of P5 and P4 onto the next level
    upsampling = 32 * (8**2 + 16**2)
    assert count_flops(model, 128, 128) == convolutions + norms + stars + upsampling


def test_operations_of_yolof_by_hand() -> None:
    """All of encoder and head runs on one map of 4 x 4, whatever the number of anchors."""
    model = small_yolof()
    cells = {"stem": 64**2, "res2": 32**2, "res3": 16**2, "res4": 8**2, "res5": 4**2}
    convolutions = norms = 0
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d):
            places = cells[name.split(".")[2]] if "bottom_up" in name else 4**2
            convolutions += part.weight.numel() * places
            if getattr(part, "norm", None) is not None:
                norms += part.out_channels * places * 2  # scale and shift
    assert count_flops(model, 128, 128) == convolutions + norms


def test_counting_leaves_the_star_convolutions_as_they_were() -> None:
    model = small_model()
    stars = [part for part in model.modules() if isinstance(part, StarConv2d)]
    stars[0].implementation = "gather"
    before = [star.implementation for star in stars]
    count_flops(model, 64, 64)
    assert [star.implementation for star in stars] == before
    with pytest.raises(RuntimeError):
        count_flops(model, 65, 64)  # no multiple of 32: the pyramid's maps do not fit
    assert [star.implementation for star in stars] == before


def test_parameters_do_not_depend_on_what_is_frozen() -> None:
    # In Detectron2, freezing turns norms' weights into buffers.
    free = small_model("MODEL.BACKBONE.FREEZE_AT", 0)
    frozen = small_model("MODEL.BACKBONE.FREEZE_AT", 5)
    assert count_parameters(free) == sum(p.numel() for p in free.parameters())
    assert count_parameters(frozen) == count_parameters(free)
