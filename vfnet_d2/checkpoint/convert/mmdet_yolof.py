"""YOLOF in mmdet's names: 2.x and 3.x, which agree."""

from vfnet_d2.checkpoint.convert.pairs import Pair, batch_norm, conv

NUM_BLOCKS = 4
NUM_CLS_CONVS = 2
NUM_BOX_CONVS = 4


def neck_pairs() -> list[Pair]:
    """Pairs of the dilated encoder."""
    pairs = []
    for theirs, ours in (("lateral", "lateral"), ("fpn", "output")):
        pairs += conv(f"neck.{theirs}_conv", f"backbone.{ours}", bias=True)
        pairs += batch_norm(f"neck.{theirs}_norm", f"backbone.{ours}.norm")
    for block in range(NUM_BLOCKS):
        for layer in ("conv1", "conv2", "conv3"):
            theirs = f"neck.dilated_encoder_blocks.{block}.{layer}"
            ours = f"backbone.blocks.{block}.{layer}"
            pairs += conv(f"{theirs}.conv", ours)
            pairs += batch_norm(f"{theirs}.bn", f"{ours}.norm")
    return pairs


def head_pairs(*, deformable: bool) -> list[Pair]:
    """Pairs of the head."""
    del deformable
    pairs = []
    for theirs, ours, count in (
        ("cls_subnet", "cls_tower", NUM_CLS_CONVS),
        ("bbox_subnet", "box_tower", NUM_BOX_CONVS),
    ):
        for n in range(count):
            pairs += conv(f"bbox_head.{theirs}.{n}.conv", f"head.{ours}.{n}")
            pairs += batch_norm(f"bbox_head.{theirs}.{n}.bn", f"head.{ours}.{n}.norm")
    for theirs, ours in (
        ("cls_score", "cls_pred"),
        ("bbox_pred", "box_pred"),
        ("object_pred", "objectness_pred"),
    ):
        pairs += conv(f"bbox_head.{theirs}", f"head.{ours}", bias=True)
    return pairs
