"""Names of mmdet's VFNet parameters (2.x, 3.x and the authors' repository) in ours."""

import re

# Tried in order; the first pattern that matches the whole name gives ours.
_RULES: list[tuple[str, str]] = [
    (r"backbone\.conv1\.weight", r"backbone.bottom_up.stem.conv1.weight"),
    (r"backbone\.bn1\.(\w+)", r"backbone.bottom_up.stem.conv1.norm.\1"),
    (r"backbone\.layer1\.(.+)", r"backbone.bottom_up.res2.\1"),
    (r"backbone\.layer2\.(.+)", r"backbone.bottom_up.res3.\1"),
    (r"backbone\.layer3\.(.+)", r"backbone.bottom_up.res4.\1"),
    (r"backbone\.layer4\.(.+)", r"backbone.bottom_up.res5.\1"),
    (r"neck\.lateral_convs\.0\.conv\.(\w+)", r"backbone.fpn_lateral3.\1"),
    (r"neck\.lateral_convs\.1\.conv\.(\w+)", r"backbone.fpn_lateral4.\1"),
    (r"neck\.lateral_convs\.2\.conv\.(\w+)", r"backbone.fpn_lateral5.\1"),
    (r"neck\.fpn_convs\.0\.conv\.(\w+)", r"backbone.fpn_output3.\1"),
    (r"neck\.fpn_convs\.1\.conv\.(\w+)", r"backbone.fpn_output4.\1"),
    (r"neck\.fpn_convs\.2\.conv\.(\w+)", r"backbone.fpn_output5.\1"),
    (r"neck\.fpn_convs\.3\.conv\.(\w+)", r"backbone.top_block.p6.\1"),
    (r"neck\.fpn_convs\.4\.conv\.(\w+)", r"backbone.top_block.p7.\1"),
    (r"bbox_head\.cls_convs\.(\d+)\.conv\.weight", r"head.cls_tower.\1.weight"),
    (r"bbox_head\.cls_convs\.(\d+)\.gn\.(\w+)", r"head.cls_tower.\1.norm.\2"),
    (r"bbox_head\.reg_convs\.(\d+)\.conv\.weight", r"head.box_tower.\1.weight"),
    (r"bbox_head\.reg_convs\.(\d+)\.gn\.(\w+)", r"head.box_tower.\1.norm.\2"),
    (r"bbox_head\.vfnet_reg_conv\.conv\.weight", r"head.box_conv.weight"),
    (r"bbox_head\.vfnet_reg_conv\.gn\.(\w+)", r"head.box_conv.norm.\1"),
    (r"bbox_head\.vfnet_reg\.(\w+)", r"head.box_pred.\1"),
    (r"bbox_head\.scales\.(\d+)\.scale", r"head.box_scales.\1.scale"),
    (r"bbox_head\.vfnet_reg_refine_dconv\.weight", r"head.refine_star.weight"),
    (r"bbox_head\.vfnet_reg_refine\.(\w+)", r"head.refine_pred.\1"),
    (r"bbox_head\.scales_refine\.(\d+)\.scale", r"head.refine_scales.\1.scale"),
    (r"bbox_head\.vfnet_cls_dconv\.weight", r"head.cls_star.weight"),
    (r"bbox_head\.vfnet_cls\.(\w+)", r"head.cls_pred.\1"),
]

# Within a residual block, whatever its stage.
_BLOCK_RULES: list[tuple[str, str]] = [
    (r"\.downsample\.0\.", r".shortcut."),
    (r"\.downsample\.1\.", r".shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
]


def from_mmdet(name: str) -> str:
    """Return our name of one of mmdet's VFNet state-dict entries.

    Raises:
        KeyError: the name belongs to no part of VFNet.
    """
    for pattern, ours in _RULES:
        if re.fullmatch(pattern, name):
            renamed = re.sub(pattern, ours, name)
            for block_pattern, block_ours in _BLOCK_RULES:
                renamed = re.sub(block_pattern, block_ours, renamed)
            return renamed
    raise KeyError(f"{name!r} is not the name of a parameter of mmdet's VFNet")
