"""VFNet's head in mmdet's names: 2.x, 3.x and the authors' repository, which agree."""

from vfnet_d2.checkpoint.convert.pairs import Pair, conv, norm

NUM_CONVS = 3
NUM_LEVELS = 5


def head_pairs(*, deformable: bool) -> list[Pair]:
    """All pairs of the head.

    Args:
        deformable: the last convolution of either tower is a DCNv2.
    """
    pairs = []
    for theirs, ours in (("cls_convs", "cls_tower"), ("reg_convs", "box_tower")):
        for n in range(NUM_CONVS):
            last = deformable and n == NUM_CONVS - 1
            pairs += conv(f"bbox_head.{theirs}.{n}.conv", f"head.{ours}.{n}", deformable=last)
            pairs += norm(f"bbox_head.{theirs}.{n}.gn", f"head.{ours}.{n}.norm")
    pairs += conv("bbox_head.vfnet_reg_conv.conv", "head.box_conv")
    pairs += norm("bbox_head.vfnet_reg_conv.gn", "head.box_conv.norm")
    pairs += conv("bbox_head.vfnet_reg", "head.box_pred", bias=True)
    pairs += conv("bbox_head.vfnet_reg_refine_dconv", "head.refine_star")
    pairs += conv("bbox_head.vfnet_reg_refine", "head.refine_pred", bias=True)
    pairs += conv("bbox_head.vfnet_cls_dconv", "head.cls_star")
    pairs += conv("bbox_head.vfnet_cls", "head.cls_pred", bias=True)
    for theirs, ours in (("scales", "box_scales"), ("scales_refine", "refine_scales")):
        pairs += [
            Pair(f"bbox_head.{theirs}.{level}.scale", f"head.{ours}.{level}.scale")
            for level in range(NUM_LEVELS)
        ]
    return pairs
