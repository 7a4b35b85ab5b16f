"""RepPoints (moment, GN in neck and head) in mmdet's names, 2.x and 3.x."""

from vfnet_d2.checkpoint.convert.pairs import Pair, conv, norm

NUM_CONVS = 3


def head_pairs(*, deformable: bool) -> list[Pair]:
    """All pairs of the head.

    Args:
        deformable: not used: its towers are never deformable.
    """
    del deformable
    pairs = [Pair("bbox_head.moment_transfer", "head.moment_transfer")]
    for theirs, ours in (("cls_convs", "cls_tower"), ("reg_convs", "point_tower")):
        for n in range(NUM_CONVS):
            pairs += _conv_norm(f"bbox_head.{theirs}.{n}", f"head.{ours}.{n}")
    for theirs, ours, bias in (
        ("cls_conv", "cls_conv", False),
        ("cls_out", "cls_pred", True),
        ("pts_init_conv", "point_conv", True),
        ("pts_init_out", "point_pred", True),
        ("pts_refine_conv", "refine_conv", False),
        ("pts_refine_out", "refine_pred", True),
    ):
        pairs += conv(f"bbox_head.reppoints_{theirs}", f"head.{ours}", bias=bias)
    return pairs


def neck_pairs() -> list[Pair]:
    """All pairs of the FPN of P3 to P7, whose convolutions have a GN each and no bias."""
    pairs = []
    for index, level in enumerate((3, 4, 5)):
        for theirs, ours in (("lateral_convs", "fpn_lateral"), ("fpn_convs", "fpn_output")):
            pairs += _conv_norm(f"neck.{theirs}.{index}", f"backbone.{ours}{level}")
    for index, level in ((3, 6), (4, 7)):
        pairs += _conv_norm(f"neck.fpn_convs.{index}", f"backbone.top_block.p{level}")
    return pairs


def _conv_norm(theirs: str, ours: str) -> list[Pair]:
    """Pairs of a convolution without bias and its GN."""
    return [*conv(f"{theirs}.conv", ours), *norm(f"{theirs}.gn", f"{ours}.norm")]
