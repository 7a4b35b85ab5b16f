"""The parts of a one-stage detector, built from a YAML config."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_anchor_generator, build_backbone

from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY, CLS_LOSS_REGISTRY
from vfnet_d2.modeling.dense.box_coders import BOX_CODER_REGISTRY
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.suppression import SUPPRESSION_REGISTRY
from vfnet_d2.utils.registry import build_part

# Parts that need nothing but their own config node, and settings that the node holds itself.
PARTS = {
    "box_coder": BOX_CODER_REGISTRY,
    "matcher": MATCHER_REGISTRY,
    "cls_loss": CLS_LOSS_REGISTRY,
    "box_loss": BOX_LOSS_REGISTRY,
}
SETTINGS = (
    "num_classes",
    "box_loss_weights",
    "score_thresh",
    "topk_candidates",
    "candidate_unit",
    "nms_thresh",
    "deform_conv",
    "memory_format",
    "fold_norms",
)


def parts_from_config(cfg: CfgNode) -> dict[str, Any]:
    """Map ``cfg.MODEL.ONE_STAGE`` and Detectron2's own nodes to the template's arguments."""
    node = cfg.MODEL.ONE_STAGE
    backbone = build_backbone(cfg)
    shapes = [backbone.output_shape()[name] for name in node.IN_FEATURES]
    generator = build_anchor_generator(cfg, shapes)
    key = "MODEL.ONE_STAGE"
    return {
        "backbone": backbone,
        "head": build_part(
            HEAD_REGISTRY,
            node.HEAD,
            key=f"{key}.HEAD",
            in_channels=shapes[0].channels,
            num_classes=node.NUM_CLASSES,
            num_levels=len(shapes),
            num_anchors=generator.num_cell_anchors[0],
        ),
        "head_in_features": node.IN_FEATURES,
        "anchor_generator": generator,
        **{
            name: build_part(kind, node[name.upper()], key=f"{key}.{name.upper()}")
            for name, kind in PARTS.items()
        },
        "suppression": build_part(
            SUPPRESSION_REGISTRY,
            node.SUPPRESSION,
            key=f"{key}.SUPPRESSION",
            iou_thresh=node.NMS_THRESH,
        ),
        **{name: node[name.upper()] for name in SETTINGS},
        "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "input_format": cfg.INPUT.FORMAT,
    }
