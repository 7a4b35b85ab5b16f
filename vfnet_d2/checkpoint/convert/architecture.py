"""Which detector a set of tensors belongs to."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from vfnet_d2.checkpoint.convert.backbones import Backbone, Shapes, read_backbone, rows
from vfnet_d2.checkpoint.convert.mmdet_keys import (
    BACKBONE,
    DETECTORS,
    FOREIGN,
    LOOKALIKES,
    DetectorKeys,
    detector_pairs,
)
from vfnet_d2.checkpoint.convert.pairs import MMDET, OURS, Pair
from vfnet_d2.checkpoint.errors import CheckpointError


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


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict's tensors."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def naming(shapes: Shapes) -> str | None:
    """Return whose names these are, "ours" or "mmdet"; None for neither."""
    if any(name.startswith(BACKBONE["ours"]) for name in shapes):
        return OURS
    if any(name.startswith(("bbox_head.", "roi_head.", "rpn_head.")) for name in shapes):
        return MMDET
    return None


def architecture_of(shapes: Shapes) -> Architecture:
    """Find out the detector from the names and shapes of its tensors, in either naming.

    Raises:
        CheckpointError: another detector, or a backbone that is not supported.
    """
    style = naming(shapes)
    if style is None:
        raise CheckpointError(f"it holds no detector; its names begin with {list(shapes)[:3]}")
    theirs = style == MMDET
    keys = _detector(shapes, theirs=theirs)
    if theirs:
        backbone = read_backbone(shapes, stage="backbone.layer", first=1)
    else:
        backbone = read_backbone(shapes, stage="backbone.bottom_up.res", first=2)
    head = "bbox_head." if theirs else "head."
    deformable = any(n.startswith(head) and n.endswith("conv_offset.weight") for n in shapes)
    classifier = f"{keys.classifier if theirs else keys.our_classifier}.weight"
    anchors = keys.anchors or rows(shapes, keys.marker if theirs else keys.our_marker)
    outputs = rows(shapes, classifier) // anchors if classifier in shapes else None
    return Architecture(keys.name, backbone, deformable, outputs, anchors)


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


def _detector(shapes: Shapes, *, theirs: bool) -> DetectorKeys:
    for keys in DETECTORS.values():
        marker = keys.marker if theirs else keys.our_marker
        if marker in shapes and (theirs or keys.our_rows in (None, rows(shapes, marker))):
            return keys
    foreign = next((name for marker, name in FOREIGN.items() if marker in shapes), None)
    known = ", ".join(
        f"{keys.name} (has {keys.marker if theirs else keys.our_marker})"
        for keys in DETECTORS.values()
    )
    raise CheckpointError(
        f"it is a checkpoint of {foreign or 'another detector'}; supported: {known}"
    )
