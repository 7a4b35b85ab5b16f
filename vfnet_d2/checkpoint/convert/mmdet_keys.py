"""Names of mmdet's detectors: 2.x, 3.x and the authors' repository.

Adding a detector takes one table:

1. ``mmdet_<name>.py`` with ``head_pairs(*, deformable)``, and ``neck_pairs()`` unless the neck is
   an FPN with biases: lists of all their :class:`~vfnet_d2.checkpoint.convert.pairs.Pair`; a
   tensor whose layout differs carries ``to_ours`` and its inverse ``to_theirs``
   (``pair._replace(to_ours=..., to_theirs=...)``), as classifiers need whose anchors are ordered
   otherwise;
2. an entry in :data:`DETECTORS`, with the name that no other detector has;
3. the key list of a file in ``tests/data/mmdet_keys.json.gz``, which the tests then go through.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from vfnet_d2.checkpoint.convert.backbones import DCN_STAGES, Backbone, backbone_pairs
from vfnet_d2.checkpoint.convert.mmdet_reppoints import head_pairs as reppoints_head
from vfnet_d2.checkpoint.convert.mmdet_reppoints import neck_pairs as reppoints_neck
from vfnet_d2.checkpoint.convert.mmdet_towers import (
    atss_head_pairs,
    foveabox_head_pairs,
    retinanet_head_pairs,
)
from vfnet_d2.checkpoint.convert.mmdet_vfnet import head_pairs as vfnet_head
from vfnet_d2.checkpoint.convert.mmdet_yolof import head_pairs as yolof_head
from vfnet_d2.checkpoint.convert.mmdet_yolof import neck_pairs as yolof_neck
from vfnet_d2.checkpoint.convert.pairs import Pair, below, conv
from vfnet_d2.checkpoint.metadata import MSRA_INPUT, PUBLISHED_INPUT, InputConvention


def fpn_pairs() -> list[Pair]:
    """Pairs of an FPN of P3 to P7 with biases."""
    pairs = []
    for index, level in enumerate((3, 4, 5)):
        for theirs, ours in (("lateral_convs", "fpn_lateral"), ("fpn_convs", "fpn_output")):
            pairs += conv(f"neck.{theirs}.{index}.conv", f"backbone.{ours}{level}", bias=True)
    for index, level in ((3, 6), (4, 7)):
        pairs += conv(f"neck.fpn_convs.{index}.conv", f"backbone.top_block.p{level}", bias=True)
    return pairs


class DetectorKeys(NamedTuple):
    """How to recognise a detector, and its names.

    Attributes:
        name: our meta-architecture.
        config_prefix: what its config files begin with.
        marker: a name of theirs that no other detector has.
        our_marker: a name of ours that no detector after it in the list has.
        classifier: their layer that predicts the classes.
        our_classifier: the same in ours.
        anchors: anchors of a cell, each of which has its own classifier channels; None where the
            marker's tensor has a row for each.
        head: all pairs of the head.
        our_rows: rows of our marker's tensor, where other detectors have the name too.
        neck: all pairs of the neck.
        suffixes: what the names of configs go on with, by number of anchors.
        published_input: how images are prepared for the published models.
    """

    name: str
    config_prefix: str
    marker: str
    our_marker: str
    classifier: str
    our_classifier: str
    anchors: int | None
    head: Callable[..., list[Pair]]
    our_rows: int | None = None
    neck: Callable[[], list[Pair]] = fpn_pairs
    suffixes: Mapping[int, str] = {}
    published_input: InputConvention = PUBLISHED_INPUT


DETECTORS = {
    "VFNet": DetectorKeys(
        name="VFNet",
        config_prefix="vfnet",
        marker="bbox_head.vfnet_cls_dconv.weight",
        our_marker="head.refine_star.weight",
        classifier="bbox_head.vfnet_cls",
        our_classifier="head.cls_pred",
        anchors=1,
        head=vfnet_head,
    ),
    "ATSS": DetectorKeys(
        name="ATSS",
        config_prefix="atss",
        marker="bbox_head.atss_cls.weight",
        our_marker="head.centerness_pred.weight",
        classifier="bbox_head.atss_cls",
        our_classifier="head.cls_pred",
        anchors=1,
        head=atss_head_pairs,
    ),
    "OneStageRetinaNet": DetectorKeys(
        name="OneStageRetinaNet",
        config_prefix="retinanet",
        marker="bbox_head.retina_cls.weight",
        our_marker="head.box_pred.weight",
        classifier="bbox_head.retina_cls",
        our_classifier="head.cls_pred",
        anchors=9,
        head=retinanet_head_pairs,
        our_rows=36,
    ),
    "FoveaBox": DetectorKeys(
        name="FoveaBox",
        config_prefix="foveabox",
        marker="bbox_head.conv_cls.weight",
        our_marker="head.cls_tower.0.bias",
        classifier="bbox_head.conv_cls",
        our_classifier="head.cls_pred",
        anchors=1,
        head=foveabox_head_pairs,
    ),
    "RepPoints": DetectorKeys(
        name="RepPoints",
        config_prefix="reppoints",
        marker="bbox_head.moment_transfer",
        our_marker="head.moment_transfer",
        classifier="bbox_head.reppoints_cls_out",
        our_classifier="head.cls_pred",
        anchors=1,
        head=reppoints_head,
        neck=reppoints_neck,
    ),
    "YOLOF": DetectorKeys(
        name="YOLOF",
        config_prefix="yolof",
        marker="bbox_head.object_pred.weight",
        our_marker="head.objectness_pred.weight",
        classifier="bbox_head.cls_score",
        our_classifier="head.cls_pred",
        anchors=None,
        head=yolof_head,
        neck=yolof_neck,
        suffixes={5: "_C5", 6: "_DC5"},
        published_input=MSRA_INPUT,
    ),
}

# Detectors of ours without a table: their tensors have the names and shapes of another's, and mean
# something else. What their configs begin with.
LOOKALIKES = {"FCOSATSS": "fcos_atss"}
_TENSORS_OF = {"FCOSATSS": "ATSS"}

# Detectors that are no subject of this project's tables, for messages: one name each.
FOREIGN = {
    "bbox_head.reppoints_cls_out.weight": "RepPoints without moments",
    "bbox_head.conv_centerness.weight": "FCOS",
    "bbox_head.gfl_cls.weight": "GFL",
    "bbox_head.fc_cls.weight": "a transformer",
    "roi_head.bbox_head.fc_cls.weight": "a two-stage detector",
    "rpn_head.rpn_cls.weight": "a two-stage detector",
}


def keys_of(detector: str) -> DetectorKeys | None:
    """Return the names of a detector's tensors; None for one that is in no table."""
    return DETECTORS.get(_TENSORS_OF.get(detector, detector))


BACKBONE = {"theirs": "backbone.", "ours": "backbone.bottom_up."}


def detector_pairs(detector: str, backbone: Backbone, *, deformable_head: bool) -> list[Pair]:
    """All pairs of a detector.

    Args:
        detector: a key of :data:`DETECTORS`.
        backbone: of the file.
        deformable_head: its towers end in a deformable convolution.
    """
    return [
        *below(backbone_pairs(backbone), **BACKBONE),
        *DETECTORS[detector].neck(),
        *DETECTORS[detector].head(deformable=deformable_head),
    ]


@functools.cache
def _vfnet_names(*, res2net: bool) -> dict[str, str]:
    """Our names of every VFNet of the results table at once, whatever its depth."""
    splits = 4 if res2net else 1
    largest = Backbone((3, 8, 36, 3), True, 1, 64, splits, DCN_STAGES)
    return {
        pair.theirs: pair.ours for pair in detector_pairs("VFNet", largest, deformable_head=True)
    }


def from_mmdet(name: str, *, res2net: bool = False) -> str:
    """Return our name of one of mmdet's VFNet state-dict entries.

    Args:
        name: mmdet's.
        res2net: the backbone is a Res2Net, whose shortcuts are numbered otherwise.

    Raises:
        KeyError: the name belongs to no part of VFNet.
    """
    names = _vfnet_names(res2net=res2net)
    if name not in names:
        raise KeyError(f"{name!r} is not the name of a parameter of mmdet's VFNet")
    return names[name]
