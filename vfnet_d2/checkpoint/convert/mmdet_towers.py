"""The plain heads of ATSS, RetinaNet and FoveaBox in mmdet's names: 2.x and 3.x, which agree.

mmdet's towers may end in a deformable convolution, ours may not: the converter reports its offsets
as left over.
"""

from torch import Tensor

from vfnet_d2.checkpoint.convert.pairs import Pair, conv, norm

NUM_CONVS = 4
NUM_LEVELS = 5
# RetinaNet's anchors of a cell: three sizes of three shapes.
SIZES = SHAPES = 3


def tower_pairs(*, normed: bool) -> list[Pair]:
    """Pairs of both towers.

    Args:
        normed: with GN; otherwise the convolutions have biases.
    """
    pairs = []
    for theirs, ours in (("cls_convs", "cls_tower"), ("reg_convs", "box_tower")):
        for n in range(NUM_CONVS):
            layer = f"bbox_head.{theirs}.{n}"
            pairs += conv(f"{layer}.conv", f"head.{ours}.{n}", bias=not normed)
            if normed:
                pairs += norm(f"{layer}.gn", f"head.{ours}.{n}.norm")
    return pairs


def predictor_pairs(**layers: str) -> list[Pair]:
    """Pairs of the predictors, such as ``cls_pred="atss_cls"``."""
    pairs = []
    for ours, theirs in layers.items():
        pairs += conv(f"bbox_head.{theirs}", f"head.{ours}", bias=True)
    return pairs


def swap_sizes_and_shapes(tensor: Tensor) -> Tensor:
    """Reorder the rows (9 C, ...) of the anchors of a cell: shape by shape, or size by size.

    mmdet lists all sizes of one shape before the next shape, Detectron2 all shapes of one size
    before the next size. As there are three of both, this is its own inverse.
    """
    anchors = tensor.unflatten(0, (SHAPES, SIZES, -1))
    return anchors.transpose(0, 1).reshape(tensor.shape)


def atss_head_pairs(*, deformable: bool) -> list[Pair]:
    """All pairs of ATSS' head."""
    del deformable
    predictors = predictor_pairs(
        cls_pred="atss_cls", box_pred="atss_reg", centerness_pred="atss_centerness"
    )
    scales = [
        Pair(f"bbox_head.scales.{level}.scale", f"head.box_scales.{level}.scale")
        for level in range(NUM_LEVELS)
    ]
    return [*tower_pairs(normed=True), *predictors, *scales]


def retinanet_head_pairs(*, deformable: bool) -> list[Pair]:
    """All pairs of RetinaNet's head."""
    del deformable
    predictors = predictor_pairs(cls_pred="retina_cls", box_pred="retina_reg")
    swap = swap_sizes_and_shapes
    return [
        *tower_pairs(normed=False),
        *(pair._replace(to_ours=swap, to_theirs=swap) for pair in predictors),
    ]


def foveabox_head_pairs(*, deformable: bool) -> list[Pair]:
    """All pairs of FoveaBox' head."""
    del deformable
    predictors = predictor_pairs(cls_pred="conv_cls", box_pred="conv_reg")
    return [*tower_pairs(normed=False), *predictors]
