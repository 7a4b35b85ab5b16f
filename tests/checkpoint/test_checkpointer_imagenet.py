"""Tests of vfnet_d2.checkpoint.checkpointer with ImageNet backbones of torchvision."""

import copy
import logging

import pytest
import torch
import torchvision
from detectron2.modeling import build_model
from torch import nn

from tests.helpers.log_lines import log_lines
from tests.helpers.reference import vfnet_r50_config
from tests.helpers.small_model import small_model
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.errors import CheckpointError

LOGGER = "vfnet_d2.checkpoint.checkpointer"


@pytest.fixture(scope="module")
def torchvision_r50(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, str]:
    """Torchvision's ResNet-50 with statistics that matter, and a file of its weights."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50().eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var", "bn1.bias")):
            tensor += 0.2 * torch.rand_like(tensor)
    path = tmp_path_factory.mktemp("torchvision") / "resnet50.pth"
    torch.save(network.state_dict(), path)
    return network, str(path)


@pytest.fixture(scope="module")
def loaded_r50(torchvision_r50: tuple[nn.Module, str]) -> tuple[nn.Module, list[str]]:
    """Our VFNet R-50 with these weights, and the log lines of loading them."""
    model = build_model(vfnet_r50_config())
    with log_lines(LOGGER, level=logging.INFO) as lines, log_lines("fvcore") as more:
        CheckedCheckpointer(model).load(torchvision_r50[1])
    return model.eval(), [*lines, *(line for line in more if line.startswith("WARNING"))]


def test_torchvision_s_file_makes_our_backbone_compute_what_torchvision_s_does(
    torchvision_r50: tuple[nn.Module, str], loaded_r50: tuple[nn.Module, list[str]]
) -> None:
    network, _ = torchvision_r50
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    network, body = (copy.deepcopy(x).double() for x in (network, loaded_r50[0].backbone.bottom_up))
    with torch.no_grad():
        ours = body(image)["res5"]
        x = network.maxpool(network.relu(network.bn1(network.conv1(image))))
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
    torch.testing.assert_close(ours, x)


def test_one_line_says_how_many_tensors_went_where(
    torchvision_r50: tuple[nn.Module, str], loaded_r50: tuple[nn.Module, list[str]]
) -> None:
    # 53 convolutions (1 + 3 x 16 blocks + 4 shortcuts), with a weight and five tensors of BN, 318.
    # FPN: 3 + 3 + 2 with a bias each, 16. Head: 7 convolutions with GN (3 tensors each), 3
    # predictors (2 each), 2 star convolutions and 10 scales, 39.
    assert loaded_r50[1] == [
        f"INFO ImageNet backbone {torchvision_r50[1]}: 318 tensors loaded into the model's "
        "backbone, 2 unused (fc.weight, fc.bias: ImageNet's classifier); fresh in the model: 0 of "
        "the backbone's offset convolutions, 16 of the FPN, 39 of the head"
    ]


def test_an_imagenet_backbone_is_not_evaluated(
    torchvision_r50: tuple[nn.Module, str], loaded_r50: tuple[nn.Module, list[str]]
) -> None:
    with pytest.raises(CheckpointError, match=r"would be random\. Evaluation and prediction need"):
        CheckedCheckpointer(loaded_r50[0]).load_for_evaluation(torchvision_r50[1])


def test_an_imagenet_backbone_of_another_model_is_refused(
    torchvision_r50: tuple[nn.Module, str],
) -> None:
    with pytest.raises(CheckpointError, match="is the ImageNet backbone of another model"):
        CheckedCheckpointer(small_model()).load(torchvision_r50[1])
