"""What LazyConfigs of all detectors over FPN levels P3-P7 share."""

from collections.abc import Sequence
from typing import Any

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from omegaconf import DictConfig

from vfnet_d2.modeling.backbone.fpn import build_fpn

STRIDES = (8, 16, 32, 64, 128)


def over_pyramid(
    detector: type,
    *,
    bottom_up: DictConfig,
    head: type,
    sizes: Sequence[Sequence[float]],
    aspect_ratios: Sequence[float] = (1.0,),
    offset: float = 0.0,
    channels: int = 256,
    num_classes: int = 80,
    head_arguments: dict[str, Any] | None = None,
    **parts: Any,
) -> DictConfig:
    """A detector over an FPN; its head follows the FPN's channels and the number of classes.

    Args:
        detector: the meta-architecture.
        bottom_up: the backbone that the pyramid stands on.
        head: class of the head.
        sizes: of the anchors of each level, in pixels.
        aspect_ratios: of the anchors of all levels.
        offset: of the anchors' centres, in strides.
        channels: of each level.
        num_classes: K.
        head_arguments: of the head, beside what follows from the others.
        parts: further parts and settings of the detector.
    """
    return L(detector)(
        backbone=L(build_fpn)(bottom_up=bottom_up, channels=channels),
        head=L(head)(
            in_channels="${..backbone.channels}",
            num_classes="${..num_classes}",
            num_levels=len(sizes),
            **(head_arguments or {}),
        ),
        head_in_features=[f"p{level}" for level in range(3, 3 + len(sizes))],
        anchor_generator=L(DefaultAnchorGenerator)(
            sizes=[list(level) for level in sizes],
            aspect_ratios=[list(aspect_ratios)],
            strides=list(STRIDES[: len(sizes)]),
            offset=offset,
        ),
        num_classes=num_classes,
        **parts,
    )
