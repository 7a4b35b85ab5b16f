"""FoveaBox as a LazyConfig."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.losses.box import SmoothL1Loss
from vfnet_d2.modeling.dense.box_coders import LogDistances
from vfnet_d2.modeling.dense.detectors.foveabox import FoveaBox
from vfnet_d2.modeling.dense.matchers.fovea import FoveaMatcher

from .pyramid import STRIDES
from .tower import plain, tower_detector


def foveabox() -> DictConfig:
    """FoveaBox R-50; the "anchors" are cell centres and base lengths."""
    model = tower_detector(
        FoveaBox,
        sizes=[[2 * stride] for stride in STRIDES],
        offset=0.5,
        box_coder=L(LogDistances)(limit=16.0),
        matcher=L(FoveaMatcher)(),
        box_loss=L(SmoothL1Loss)(beta=0.11),
    )
    model.cls_loss.alpha, model.cls_loss.gamma = 0.4, 1.5
    return plain(model)
