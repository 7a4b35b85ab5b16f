"""Tests of vfnet_d2.modeling.backbone.resnet."""

import pytest
import torch
import torchvision
from torch import nn

from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.layers.batch_norm import FixedStatsBatchNorm2d
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.modeling.backbone.resnet import build_resnet

# Convolutions and sums in another order: see conftest.py.
pytestmark = pytest.mark.usefixtures("float64")

STAGES = ("stem", "res2", "res3", "res4", "res5")


def narrow_resnet(**options: object) -> nn.Module:
    return build_resnet(depth=18, stem_channels=8, res2_channels=8, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"depth": 18, "res2_channels": 64}),
        ("resnet50", {"depth": 50}),
        ("resnext50_32x4d", {"depth": 50, "num_groups": 32, "width_per_group": 4}),
    ],
)
def test_features_of_torchvision_s_network(name: str, options: dict[str, int]) -> None:
    theirs = torchvision.models.get_model(name).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    ours = build_resnet(**options, freeze_at=0).eval()
    # mmdet names its backbone's parts as torchvision does
    state = {
        from_mmdet(f"backbone.{key}").removeprefix("backbone.bottom_up."): value
        for key, value in theirs.state_dict().items()
        if not key.startswith("fc.")
    }
    ours.load_state_dict(state)
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = ours(x)
        y = theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))))
        for stage, layer in (("res3", "layer2"), ("res4", "layer3"), ("res5", "layer4")):
            y = getattr(theirs, layer)(y)
            torch.testing.assert_close(features[stage], y)


@pytest.mark.parametrize("freeze_at", range(6))
def test_stages_are_frozen_from_the_input_on(freeze_at: int) -> None:
    network = narrow_resnet(freeze_at=freeze_at)
    for index, name in enumerate(STAGES, start=1):
        trained = [parameter.requires_grad for parameter in getattr(network, name).parameters()]
        assert trained and all(t is (index > freeze_at) for t in trained), name


def test_norms_learn_their_affine_on_stored_statistics() -> None:
    network = narrow_resnet(freeze_at=2).train()
    norm = network.res3[0].conv1.norm
    before = norm.running_mean.clone()
    sum(x.square().sum() for x in network(torch.randn(2, 3, 64, 64)).values()).backward()
    assert isinstance(norm, FixedStatsBatchNorm2d)
    assert norm.weight.grad is not None and norm.bias.grad is not None
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("norm", ["BN", nn.BatchNorm2d])
def test_norms_of_detectron2_and_callables_will_do(norm: object) -> None:
    made = narrow_resnet(norm=norm, freeze_at=0).train().res3[0].conv1.norm
    assert isinstance(made, nn.BatchNorm2d) and made.training


def test_stride_lies_in_the_3x3_convolution_unless_asked() -> None:
    first = build_resnet(stem_channels=8, res2_channels=16, width_per_group=8).res3[0]
    assert (first.conv1.stride, first.conv2.stride) == ((1, 1), (2, 2))
    caffe = build_resnet(
        stem_channels=8, res2_channels=16, width_per_group=8, stride_in_1x1=True
    ).res3[0]
    assert (caffe.conv1.stride, caffe.conv2.stride) == ((2, 2), (1, 1))


def test_an_unknown_depth_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"is 20; choose one of \[18, 34, 50, 101, 152\]"):
        build_resnet(depth=20)


@pytest.mark.parametrize("options", [{}, {"num_groups": 4, "width_per_group": 2}])
def test_a_fresh_deformable_network_is_the_rigid_one(options: dict[str, int]) -> None:
    """Its samples lie on the grid and count half: twice the weights make up for it."""
    sizes = {"stem_channels": 8, "res2_channels": 16, "width_per_group": 8, "freeze_at": 0}
    rigid = build_resnet(**(sizes | options)).eval()
    deformable = build_resnet(
        **(sizes | options), deform_on_per_stage=[False, True, True, True]
    ).eval()
    state = deformable.state_dict()
    for name, value in rigid.state_dict().items():
        twice = "conv2.weight" in name and not name.startswith("res2")
        state[name].copy_(2 * value if twice else value)
    x = torch.randn(1, 3, 64, 96)
    expected = rigid(x)
    for name, feature in deformable(x).items():
        torch.testing.assert_close(feature, expected[name])


def test_the_second_convolutions_of_deformable_stages_are_deformable() -> None:
    made = build_resnet(
        stem_channels=8,
        res2_channels=16,
        width_per_group=8,
        deform_on_per_stage=[False, True, True, True],
    )
    deformable = {
        name for name, part in made.named_modules() if isinstance(part, ModulatedDeformConv2d)
    }
    counts = {"res3": 4, "res4": 6, "res5": 3}
    assert deformable == {f"{s}.{i}.conv2" for s, count in counts.items() for i in range(count)}
    first = made.res3[0]
    assert (first.conv1.stride, first.conv2.stride) == ((1, 1), (2, 2))
    assert first.conv2.conv_offset.stride == (2, 2)


def test_a_deformable_convolution_starts_like_a_plain_one() -> None:
    made = build_resnet(
        stem_channels=8, res2_channels=16, deform_on_per_stage=[False, False, False, True]
    )
    conv = made.res5[1].conv2
    # Kaiming normal over the outputs, as Detectron2 does: sqrt(2 / (512 * 9))
    assert conv.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert (conv.conv_offset.weight == 0).all() and (conv.conv_offset.bias == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 18, "deform_on_per_stage": [False, True, True, True]}, "depth is 18, choose 50"),
        ({"deform_on_per_stage": [True, True]}, "DEFORM_ON_PER_STAGE.* is .True, True.; give one"),
    ],
)
def test_deformable_stages_that_cannot_be_built(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_resnet(**options)
