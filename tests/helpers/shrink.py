"""Any detector's config at a size that runs in milliseconds."""

from typing import Any

from detectron2.config import CfgNode

from vfnet_d2.model_zoo import get_config

NUM_CLASSES = 5
CHANNELS = 32


def shrunk_config(name: str, *options: Any) -> CfgNode:
    """A shipped YAML config over a narrow ResNet-18, with 32 channels and five classes.

    Args:
        name: of the config in the model zoo.
        options: further keys and values.
    """
    cfg = get_config(name)
    head = f"MODEL.ONE_STAGE.HEAD.{cfg.MODEL.ONE_STAGE.HEAD.NAME}"
    cfg.merge_from_list(
        [
            *("MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu"),
            *("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.NORM", "BN"),
            *("MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16),
            *("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False] * 4),  # for bottlenecks alone
            *("MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.FPN.OUT_CHANNELS", CHANNELS),
            *("MODEL.ONE_STAGE.NUM_CLASSES", NUM_CLASSES),
            *("MODEL.ONE_STAGE.DEFORM_CONV", "grid_sample"),
            *("MODEL.DILATED_ENCODER.CHANNELS", CHANNELS),
            *("MODEL.DILATED_ENCODER.BLOCK_CHANNELS", CHANNELS // 2),
            *("MODEL.RESNETS.RES5_DILATION", 1),  # for bottlenecks alone
            *(f"{head}.CHANNELS", CHANNELS, f"{head}.INIT_STD", 0.05),
            *_short_towers(cfg, head),
            *options,
        ]
    )
    return cfg


def _short_towers(cfg: CfgNode, head: str) -> list[Any]:
    node = cfg.MODEL.ONE_STAGE.HEAD[cfg.MODEL.ONE_STAGE.HEAD.NAME]
    counts = [key for key in node if key.endswith("CONVS")]
    return [item for key in counts for item in (f"{head}.{key}", 1)]
