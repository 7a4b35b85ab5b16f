"""The quickstart's model with weights from a seed, lively enough to detect something."""

from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

from vfnet_d2.config import add_vfnet_config
from vfnet_d2.model_zoo import config_file

YAML = config_file("quick/vfnet_shapes")
LAZY = config_file("quick/vfnet_shapes", suffix=".py")


def quick_config(*options: Any) -> CfgNode:
    """``quick/vfnet_shapes`` on the CPU; ``options`` are further keys and values."""
    cfg = add_vfnet_config(get_cfg())
    cfg.merge_from_file(YAML)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    return cfg


def quick_model(*, seed: int = 0) -> nn.Module:
    """A freshly built model whose scores are spread between 0 and 1."""
    torch.manual_seed(seed)
    model = build_model(quick_config())
    with torch.no_grad():
        # As built, every score is near 0.01, the prior, which is below the threshold.
        model.head.cls_pred.weight.normal_(std=0.3)
        model.head.cls_pred.bias.fill_(-3.0)
    return model


def save_weights(model: nn.Module, path: Path) -> Path:
    """Write a Detectron2 checkpoint of a model."""
    torch.save({"model": model.state_dict()}, path)
    return path
