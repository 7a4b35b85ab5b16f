"""The parts of a one-stage detector and its settings, built from a YAML config.

A detector class says in ``PARTS`` which of its arguments are parts. Its other arguments that have
a default, and those of its base classes, are settings, each a key ``MODEL.ONE_STAGE.<ARGUMENT>``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from detectron2.modeling import build_anchor_generator, build_backbone
from detectron2.utils.registry import Registry

from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY, CLS_LOSS_REGISTRY
from vfnet_d2.modeling.dense.box_coders import BOX_CODER_REGISTRY
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.suppression import SUPPRESSION_REGISTRY
from vfnet_d2.utils.registry import build_part, signature_defaults

KEY = "MODEL.ONE_STAGE"


class PartKind(NamedTuple):
    """A kind of part: its registry and the name of the class that configs start from."""

    registry: Registry
    default: str


Parts = Mapping[str, PartKind]

ONE_STAGE_PARTS: Parts = {
    "head": PartKind(HEAD_REGISTRY, "VFNetHead"),
    "box_coder": PartKind(BOX_CODER_REGISTRY, "LinearDistances"),
    "matcher": PartKind(MATCHER_REGISTRY, "ATSSMatcher"),
    "cls_loss": PartKind(CLS_LOSS_REGISTRY, "VarifocalLoss"),
    "box_loss": PartKind(BOX_LOSS_REGISTRY, "GIoULoss"),
    "suppression": PartKind(SUPPRESSION_REGISTRY, "ClasswiseNMS"),
}
# Arguments that Detectron2's own keys already carry.
_ELSEWHERE = ("max_detections_per_image", "pixel_mean", "pixel_std", "input_format")


def settings_of(detector: Any) -> list[tuple[type, str, Any]]:
    """Return class, argument and default of each setting of a detector and its base classes.

    Args:
        detector: a class with ``PARTS``.
    """
    classes = [x for x in detector.__mro__ if hasattr(x, "PARTS") and "__init__" in vars(x)]
    return [
        (owner, name, default)
        for owner in reversed(classes)
        for name, default in signature_defaults(vars(owner)["__init__"]).items()
        if name not in detector.PARTS and name not in _ELSEWHERE
    ]


def parts_from_config(cfg: CfgNode, detector: Any) -> dict[str, Any]:
    """Map ``cfg.MODEL.ONE_STAGE`` and Detectron2's own nodes to a detector's arguments.

    Args:
        cfg: of a detector over feature maps of equally many channels.
        detector: a class with ``PARTS``.
    """
    node = cfg.MODEL.ONE_STAGE
    backbone = build_backbone(cfg)
    shapes = [backbone.output_shape()[name] for name in node.IN_FEATURES]
    generator = build_anchor_generator(cfg, shapes)
    # What parts need that is no setting of their own.
    given: dict[str, dict[str, Any]] = {
        "head": {
            "in_channels": shapes[0].channels,
            "num_classes": node.NUM_CLASSES,
            "num_levels": len(shapes),
            "num_anchors": generator.num_cell_anchors[0],
        },
        "suppression": {"iou_thresh": node.NMS_THRESH},
    }
    return {
        "backbone": backbone,
        "head_in_features": node.IN_FEATURES,
        "anchor_generator": generator,
        **{
            name: build_part(
                kind.registry,
                node[name.upper()],
                key=f"{KEY}.{name.upper()}",
                **given.get(name, {}),
            )
            for name, kind in detector.PARTS.items()
        },
        "num_classes": node.NUM_CLASSES,
        # A class registered after the config was made has no keys: it runs on its defaults.
        **{n: node[n.upper()] for _, n, _ in settings_of(detector) if n.upper() in node},
        "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "input_format": cfg.INPUT.FORMAT,
    }
