"""Tests of vfnet_d2.modeling.backbone.res2net; test_parity_models.py has the published network."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.modeling.backbone.res2net import build_res2net

STAGES = ("stem", "res2", "res3", "res4", "res5")


def narrow(**options: object) -> nn.Module:
    """A Res2Net-50 of a few channels."""
    sizes = {"depth": 50, "stem_channels": 8, "res2_channels": 8, "width_per_split": 2}
    return build_res2net(**(sizes | options))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The narrow network with norms that change their input, in evaluation mode."""
    made = narrow(freeze_at=0, out_features=STAGES).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return made.double()


def conv_bn(x: Tensor, conv: nn.Module, *, stride: int = 1) -> Tensor:
    """Convolution and norm by torch's functions."""
    x = F.conv2d(x, conv.weight, stride=stride, padding=conv.weight.shape[-1] // 2)
    norm = conv.norm
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def test_stem_is_three_convolutions_and_a_max_pooling(network: nn.Module) -> None:
    x = torch.randn(1, 3, 32, 40, dtype=torch.float64)
    stem = network.stem
    y = F.relu(conv_bn(x, stem.conv1, stride=2))
    y = F.relu(conv_bn(F.relu(conv_bn(y, stem.conv2)), stem.conv3))
    torch.testing.assert_close(stem(x), F.max_pool2d(y, 3, 2, 1))
    assert [tuple(conv.weight.shape[:2]) for conv in (stem.conv1, stem.conv2, stem.conv3)] == [
        (4, 3),
        (4, 4),
        (8, 4),
    ]


def test_first_block_of_a_stage(network: nn.Module) -> None:
    """No running sum; the last split and the shortcut are average-pooled."""
    block = network.res3[0]
    x = torch.randn(1, 8, 7, 8, dtype=torch.float64)
    # odd: the last row of the shortcut's pooling averages one row
    a, b, c, d = F.relu(conv_bn(x, block.conv1)).chunk(4, dim=1)
    convolved = [
        F.relu(conv_bn(split, conv, stride=2))
        for split, conv in zip((a, b, c), block.convs, strict=True)
    ]
    pooled = F.avg_pool2d(d, 3, 2, 1)
    padded = F.pad(x, (0, 0, 0, 1), mode="replicate")
    shortcut = conv_bn(F.avg_pool2d(padded, 2), block.shortcut)
    expected = F.relu(conv_bn(torch.cat([*convolved, pooled], 1), block.conv3) + shortcut)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.usefixtures("float64")
def test_first_block_of_the_first_stage_pools_nothing() -> None:
    block = narrow(stem_channels=6, freeze_at=0, out_features=STAGES).eval().res2[0]
    x = torch.randn(1, 6, 5, 6, dtype=torch.float64)
    a, b, c, d = F.relu(conv_bn(x, block.conv1)).chunk(4, dim=1)
    convolved = [
        F.relu(conv_bn(split, conv)) for split, conv in zip((a, b, c), block.convs, strict=True)
    ]
    out = conv_bn(torch.cat([*convolved, d], 1), block.conv3)
    torch.testing.assert_close(block(x), F.relu(out + conv_bn(x, block.shortcut)))


def test_other_blocks_add_each_output_to_the_next_split(network: nn.Module) -> None:
    block = network.res3[1]
    x = torch.randn(1, 16, 5, 6, dtype=torch.float64)
    a, b, c, d = F.relu(conv_bn(x, block.conv1)).chunk(4, dim=1)
    first = F.relu(conv_bn(a, block.convs[0]))
    second = F.relu(conv_bn(b + first, block.convs[1]))
    third = F.relu(conv_bn(c + second, block.convs[2]))
    out = conv_bn(torch.cat([first, second, third, d], 1), block.conv3)
    torch.testing.assert_close(block(x), F.relu(out + x))


def test_names_sizes_and_channels_of_the_outputs(network: nn.Module) -> None:
    shapes = network.output_shape()
    assert {name: (shape.stride, shape.channels) for name, shape in shapes.items()} == {
        "stem": (4, 8),
        "res2": (4, 8),
        "res3": (8, 16),
        "res4": (16, 32),
        "res5": (32, 64),
    }
    sizes = [tuple(x.shape[2:]) for x in network(torch.randn(1, 3, 72, 104).double()).values()]
    assert sizes == [(18, 26), (18, 26), (9, 13), (5, 7), (3, 4)]


def test_widths_of_the_published_network() -> None:
    with torch.device("meta"):
        made = build_res2net()
    # 26w x 4s: 26 channels a split in the first stage, twice as many in each that follows
    blocks = [made.res2, made.res3, made.res4, made.res5]
    assert [len(stage) for stage in blocks] == [3, 4, 23, 3]
    assert [stage[0].convs[0].weight.shape[0] for stage in blocks] == [26, 52, 104, 208]
    assert [stage[1].conv1.weight.shape[0] for stage in blocks] == [104, 208, 416, 832]


@pytest.mark.parametrize("freeze_at", range(6))
def test_stages_are_frozen_from_the_input_on(freeze_at: int) -> None:
    made = narrow(freeze_at=freeze_at)
    for index, name in enumerate(STAGES, start=1):
        trained = [parameter.requires_grad for parameter in getattr(made, name).parameters()]
        assert all(t is (index > freeze_at) for t in trained), name


def test_norms_learn_their_affine_on_stored_statistics() -> None:
    made = narrow().train()
    norms = [made.res3[0].convs[1].norm, made.res3[0].shortcut.norm]
    sum(x.square().sum() for x in made(torch.randn(1, 3, 64, 64)).values()).backward()
    for norm in norms:
        assert isinstance(norm, FixedStatsBatchNorm2d)
        assert norm.weight.grad is not None and norm.bias.grad is not None
        assert (norm.running_mean == 0).all()


def test_all_3x3_convolutions_of_deformable_stages_are_deformable() -> None:
    made = narrow(deform_on_per_stage=[False, True, False, True])
    deformable = {
        name for name, part in made.named_modules() if isinstance(part, ModulatedDeformConv2d)
    }
    blocks = [f"res3.{i}" for i in range(4)] + [f"res5.{i}" for i in range(3)]
    assert deformable == {f"{block}.convs.{split}" for block in blocks for split in range(3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 34}, r"Res2Net depth is 34; choose one of \[50, 101, 152\]"),
        ({"deform_on_per_stage": [True]}, "DEFORM_ON_PER_STAGE.* is .True.; give one value"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        narrow(**options)
