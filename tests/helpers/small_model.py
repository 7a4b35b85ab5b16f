"""A VFNet that is small enough to run in milliseconds, and inputs for it."""

from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import nn

from tests.helpers.reference import ROOT
from vfnet_d2.config import add_vfnet_config

NUM_CLASSES = 5

_OPTIONS: list[Any] = [
    *("MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu"),
    *("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16),
    *("MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.FPN.OUT_CHANNELS", 32),
    *("MODEL.ONE_STAGE.NUM_CLASSES", NUM_CLASSES),
    *("MODEL.ONE_STAGE.HEAD.VFNetHead.CHANNELS", 64),
    *("MODEL.ONE_STAGE.HEAD.VFNetHead.INIT_STD", 0.05),
    *("MODEL.ONE_STAGE.DEFORM_CONV", "grid_sample"),
]


def small_config(*options: Any) -> CfgNode:
    """A narrow ResNet-18 VFNet with five classes; ``options`` are further keys and values."""
    cfg = add_vfnet_config(get_cfg())
    cfg.merge_from_file(str(ROOT / "configs" / "Base-VFNet.yaml"))
    cfg.merge_from_list([*_OPTIONS, *options])
    return cfg


def small_model(*options: Any, seed: int = 0) -> nn.Module:
    """Build :func:`small_config` with weights from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_model(small_config(*options))


def random_input(height: int, width: int, num_boxes: int, *, seed: int = 0) -> dict[str, Any]:
    """An image of noise with boxes of 8 pixels or more a side."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height, width, height])
    corner = torch.rand(num_boxes, 2, generator=generator) * 0.7
    sides = 0.1 + torch.rand(num_boxes, 2, generator=generator) * 0.2
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.cat([corner, corner + sides], dim=1) * size)
    instances.gt_classes = torch.randint(NUM_CLASSES, (num_boxes,), generator=generator)
    image = torch.rand(3, height, width, generator=generator) * 255
    return {"image": image, "instances": instances}
