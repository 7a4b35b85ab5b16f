"""ATSS and FCOS+ATSS as LazyConfigs."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.losses.box import GIoULoss
from vfnet_d2.modeling.dense.box_coders import CentreSizeDeltas, LogDistances
from vfnet_d2.modeling.dense.detectors.atss import ATSS, FCOSATSS
from vfnet_d2.modeling.dense.matchers.atss import ATSSMatcher

from .pyramid import STRIDES
from .tower import tower_detector


def _matched_by_atss(detector: type, box_coder: DictConfig) -> DictConfig:
    """One square anchor of eight strides a cell."""
    return tower_detector(
        detector,
        sizes=[[8 * stride] for stride in STRIDES],
        box_coder=box_coder,
        matcher=L(ATSSMatcher)(),
        box_loss=L(GIoULoss)(),
    )


def atss() -> DictConfig:
    """ATSS R-50."""
    model = _matched_by_atss(ATSS, L(CentreSizeDeltas)(weights=[10.0, 10.0, 5.0, 5.0]))
    model.backbone.top_relu = False
    return model


def fcos_atss() -> DictConfig:
    """FCOS+ATSS R-50."""
    return _matched_by_atss(FCOSATSS, L(LogDistances)())
