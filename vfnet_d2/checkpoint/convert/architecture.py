"""Which detector a set of tensors belongs to."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from vfnet_d2.checkpoint.convert import chensnathan
from vfnet_d2.checkpoint.convert.backbones import Backbone, Shapes, read_backbone, rows
from vfnet_d2.checkpoint.convert.mmdet_keys import (
    BACKBONE,
    DETECTORS,
    FOREIGN,
    LOOKALIKES,
    DetectorKeys,
    detector_pairs,
)
from vfnet_d2.checkpoint.convert.pairs import CHENSNATHAN, MMDET, OURS, Pair
from vfnet_d2.checkpoint.errors import CheckpointError

# Where the stages of the backbone are, the number of the first, and where the head is.
_PLACES = {
    OURS: ("backbone.bottom_up.res", 2, "head."),
    MMDET: ("backbone.layer", 1, "bbox_head."),
    CHENSNATHAN: ("backbone.res", 2, "decoder."),
}


class Architecture(NamedTuple):
    """A detector as its tensors show it.

    Attributes:
        detector: a key of :data:`~vfnet_d2.checkpoint.convert.mmdet_keys.DETECTORS`.
        backbone: see there.
        deformable_head: the head's towers end in deformable convolutions.
        num_classes: K; None where the classifier is absent.
        anchors: of a cell.
    """

    detector: str
    backbone: Backbone
    deformable_head: bool
    num_classes: int | None
    anchors: int = 1

    @property
    def name(self) -> str:
        """What the names of its configs begin with, such as "vfnet_X_101_64x4d_DCN"."""
        keys = DETECTORS[self.detector]
        name = f"{keys.config_prefix}_{self.backbone.name}{self.backbone.suffix}"
        name += keys.suffixes.get(self.anchors, "")
        if self.deformable_head != bool(self.backbone.deformable_stages):
            name += "_deformable_head" if self.deformable_head else "_plain_head"
        return name

    @property
    def pairs(self) -> list[Pair]:
        """Every tensor under mmdet's name and ours."""
        return detector_pairs(self.detector, self.backbone, deformable_head=self.deformable_head)

    def pairs_with(self, style: str) -> list[Pair]:
        """Every tensor under another project's name and ours.

        Raises:
            CheckpointError: that project does not have this detector.
        """
        if style != CHENSNATHAN:
            return self.pairs
        if self.detector != chensnathan.DETECTOR:
            raise CheckpointError(f"{CHENSNATHAN} has {chensnathan.DETECTOR} alone")
        return chensnathan.yolof_pairs(self.backbone)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict's tensors."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def naming(shapes: Shapes) -> str | None:
    """Return whose names these are, "ours", "mmdet" or "chensnathan"; None for none of them."""
    if any(name.startswith(BACKBONE["ours"]) for name in shapes):
        return OURS
    if chensnathan.MARKER in shapes:
        return CHENSNATHAN
    if any(name.startswith(("bbox_head.", "roi_head.", "rpn_head.")) for name in shapes):
        return MMDET
    return None


def foreign_project(shapes: Shapes) -> str | None:
    """Return the project whose names these are, for messages; None for ours and unknown ones."""
    return {MMDET: "mmdet", CHENSNATHAN: "github.com/chensnathan/YOLOF"}.get(naming(shapes) or "")


def architecture_of(shapes: Shapes) -> Architecture:
    """Find out the detector from the names and shapes of its tensors, in any naming.

    Raises:
        CheckpointError: another detector, or a backbone that is not supported.
    """
    style = naming(shapes)
    if style is None:
        raise CheckpointError(f"it holds no detector; its names begin with {list(shapes)[:3]}")
    keys = _detector(shapes, style)
    stage, first, head = _PLACES[style]
    backbone = read_backbone(shapes, stage=stage, first=first)
    deformable = any(n.startswith(head) and n.endswith("conv_offset.weight") for n in shapes)
    classifier = f"{classifier_of(keys, style)}.weight"
    anchors = keys.anchors or rows(shapes, _marker(keys, style))
    outputs = rows(shapes, classifier) // max(anchors, 1) if classifier in shapes else None
    return Architecture(keys.name, backbone, deformable, outputs, anchors)


def classifier_of(keys: DetectorKeys, style: str) -> str:
    """Return the layer that predicts the classes, in a style's names."""
    if style == CHENSNATHAN:
        return chensnathan.CLASSIFIER
    return keys.our_classifier if style == OURS else keys.classifier


def _marker(keys: DetectorKeys, style: str) -> str:
    if style == CHENSNATHAN:
        return chensnathan.MARKER
    return keys.our_marker if style == OURS else keys.marker


def model_name(shapes: Shapes, detector: str) -> str:
    """Return the name of the architecture of a model of ours.

    Args:
        shapes: of its tensors, by our names.
        detector: its meta-architecture.
    """
    try:
        found = architecture_of(shapes)
    except CheckpointError:
        return f"{detector}, of no shipped architecture"
    prefix = DETECTORS[found.detector].config_prefix
    return LOOKALIKES.get(detector, prefix) + found.name.removeprefix(prefix)


def _detector(shapes: Shapes, style: str) -> DetectorKeys:
    if style == CHENSNATHAN:
        return DETECTORS[chensnathan.DETECTOR]
    for keys in DETECTORS.values():
        marker = _marker(keys, style)
        if marker in shapes and (style != OURS or keys.our_rows in (None, rows(shapes, marker))):
            return keys
    foreign = next((name for marker, name in FOREIGN.items() if marker in shapes), None)
    known = ", ".join(f"{keys.name} (has {_marker(keys, style)})" for keys in DETECTORS.values())
    raise CheckpointError(
        f"it is a checkpoint of {foreign or 'another detector'}; supported: {known}"
    )
