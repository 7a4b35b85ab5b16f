"""RetinaNet as a LazyConfig."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.losses.box import SmoothL1Loss
from vfnet_d2.modeling.dense.box_coders import CentreSizeDeltas
from vfnet_d2.modeling.dense.detectors.retinanet import OneStageRetinaNet
from vfnet_d2.modeling.dense.matchers.max_iou import MaxIoUMatcher

from .pyramid import STRIDES
from .tower import plain, tower_detector


def retinanet() -> DictConfig:
    """RetinaNet R-50."""
    model = tower_detector(
        OneStageRetinaNet,
        sizes=[[4 * stride * 2 ** (octave / 3) for octave in range(3)] for stride in STRIDES],
        aspect_ratios=(0.5, 1.0, 2.0),
        box_coder=L(CentreSizeDeltas)(),
        matcher=L(MaxIoUMatcher)(),
        box_loss=L(SmoothL1Loss)(),
    )
    return plain(model)
