"""Tests of vfnet_d2.checkpoint.checkpointer with MSRA's ImageNet backbones, in Caffe2's names."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from tests.helpers.shrink import shrunk_config
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.errors import CheckpointError

BODY = "backbone.bottom_up."


def msra_config() -> CfgNode:
    """A narrow YOLOF R-50 with the frozen norms of the published one."""
    resnet = ("MODEL.RESNETS.DEPTH", 50, "MODEL.RESNETS.WIDTH_PER_GROUP", 4)
    shortcut = ("MODEL.RESNETS.RES2_OUT_CHANNELS", 32)  # the first stage has one too
    norm = ("MODEL.RESNETS.NORM", "FrozenBN", "MODEL.BACKBONE.FREEZE_AT", 2)
    return shrunk_config("yolof/yolof_R_50_C5_1x", *resnet, *shortcut, *norm)


def caffe2_name(name: str) -> str | None:
    """Caffe2's name of a tensor of our ResNet; None for statistics, which its files have not."""
    kind = {
        "norm.weight": "bn_s",
        "norm.bias": "bn_b",
        "weight": "w",
    }
    found = re.fullmatch(r"(.+?)\.((?:norm\.)?(?:weight|bias))", name)
    if found is None:
        return None
    layer, leaf = found[1], kind[found[2]]
    if layer == "stem.conv1":
        return f"conv1_{leaf}" if leaf == "w" else f"res_conv1_{leaf}"
    stage, block, part = layer.split(".")
    branch = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}
    return f"{stage}_{block}_{branch[part]}_{leaf}"


@pytest.fixture(scope="module")
def filled() -> dict[str, Tensor]:
    """Values for every tensor of the backbone that MSRA's files have, by our names."""
    generator = torch.Generator().manual_seed(0)
    values = {}
    for name, tensor in build_model(msra_config()).state_dict().items():
        if name.startswith(BODY) and caffe2_name(name.removeprefix(BODY)):
            values[name] = torch.randn(tensor.shape, generator=generator) * 0.3
    return values


@pytest.fixture
def path(filled: dict[str, Tensor], tmp_path: Path) -> str:
    """A file as Detectron2 hosts them: arrays at the top, of Python 2, and the classifier."""
    arrays = {
        caffe2_name(name.removeprefix(BODY)): tensor.numpy() for name, tensor in filled.items()
    }
    arrays |= {"fc1000_w": np.ones((1000, 64), np.float32), "fc1000_b": np.ones(1000, np.float32)}
    arrays |= {"conv1_b": np.zeros(16, np.float32), "conv1_w_momentum": np.ones(1, np.float32)}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    return str(tmp_path / "R-50.pkl")


def outputs(body: nn.Module) -> Tensor:
    """Features of a fixed image."""
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return body.eval()(image)["res5"]


def test_names_by_hand(filled: dict[str, Tensor]) -> None:
    names = {caffe2_name(name.removeprefix(BODY)) for name in filled}
    assert {"conv1_w", "res_conv1_bn_s", "res2_0_branch1_w", "res5_2_branch2c_bn_b"} <= names
    assert len(names) == len(filled) == 53 * 3


def test_every_tensor_of_the_backbone_is_filled_and_no_other(
    path: str, filled: dict[str, Tensor]
) -> None:
    model = build_model(msra_config())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    CheckedCheckpointer(model).load(path)
    for name, tensor in model.state_dict().items():
        expected = filled.get(name, before[name])
        # Detectron2 takes eps off a fresh frozen norm's variance of 1, and not off a loaded one's.
        tolerance = 1e-5 if name.endswith("running_var") else 0
        torch.testing.assert_close(tensor, expected, rtol=0, atol=2 * tolerance, msg=name)


def test_norms_without_statistics_scale_and_shift(path: str, filled: dict[str, Tensor]) -> None:
    model = build_model(msra_config())
    CheckedCheckpointer(model).load(path)
    norm = model.backbone.bottom_up.stem.conv1.norm
    x = torch.randn(2, 16, 3, 3)
    weight, bias = (filled[f"{BODY}stem.conv1.norm.{leaf}"] for leaf in ("weight", "bias"))
    expected = x * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)
    torch.testing.assert_close(norm(x), expected)


def test_it_computes_what_the_same_tensors_in_our_names_do(
    path: str, filled: dict[str, Tensor]
) -> None:
    model, other = (build_model(msra_config()) for _ in range(2))
    CheckedCheckpointer(model).load(path)
    other.load_state_dict(filled, strict=False)
    torch.testing.assert_close(outputs(model.backbone.bottom_up), outputs(other.backbone.bottom_up))


def test_it_is_not_evaluated(path: str) -> None:
    model = build_model(msra_config())
    with pytest.raises(CheckpointError, match=r"would be random\. Evaluation and prediction need"):
        CheckedCheckpointer(model).load_for_evaluation(path)
