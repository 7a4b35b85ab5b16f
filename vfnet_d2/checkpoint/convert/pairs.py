"""Pairs of names: what a tensor is called in another project's files, and in ours.

A key map is the plain list of all pairs of one architecture. It is total by construction: a name
that is in the list and not in the file is missing, one that is in the file alone is left over.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Transform = Callable[[Tensor], Tensor]

# Whose names a state dict has.
OURS = "ours"
MMDET = "mmdet"
CHENSNATHAN = "chensnathan"  # github.com/chensnathan/YOLOF
STYLES = (OURS, MMDET, CHENSNATHAN)

COUNTER = "num_batches_tracked"


def unchanged(tensor: Tensor) -> Tensor:
    """Return the tensor: both projects store it alike."""
    return tensor


class Pair(NamedTuple):
    """One tensor under both names.

    Attributes:
        theirs: its name in the other project.
        ours: its name in this one.
        optional: it may be absent on either side.
        to_ours: turns their tensor into ours, for layouts that differ.
        to_theirs: the inverse of ``to_ours``.
    """

    theirs: str
    ours: str
    optional: bool = False
    to_ours: Transform = unchanged
    to_theirs: Transform = unchanged


def conv(theirs: str, ours: str, *, bias: bool = False, deformable: bool = False) -> list[Pair]:
    """Pairs of a convolution.

    Args:
        theirs: name of the layer in the other project.
        ours: name of the layer in ours.
        bias: it has a bias.
        deformable: it is a DCNv2, whose offsets and mask come from ``conv_offset``.
    """
    leaves = ["weight"]
    if bias:
        leaves.append("bias")
    if deformable:
        leaves += ["conv_offset.weight", "conv_offset.bias"]
    return [Pair(f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in leaves]


def norm(theirs: str, ours: str) -> list[Pair]:
    """Pairs of a norm without statistics, such as GN."""
    return [Pair(f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in ("weight", "bias")]


def batch_norm(theirs: str, ours: str) -> list[Pair]:
    """Pairs of a BN.

    Its counter of batches is optional: frozen layers have none in some versions of Detectron2,
    old files have none at all, and nothing reads it.
    """
    statistics = [
        Pair(f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in ("running_mean", "running_var")
    ]
    counter = Pair(f"{theirs}.{COUNTER}", f"{ours}.{COUNTER}", optional=True)
    return [*norm(theirs, ours), *statistics, counter]


def below(pairs: list[Pair], *, theirs: str, ours: str) -> list[Pair]:
    """The pairs with a prefix on either side, such as "backbone." and "backbone.bottom_up."."""
    return [pair._replace(theirs=theirs + pair.theirs, ours=ours + pair.ours) for pair in pairs]
