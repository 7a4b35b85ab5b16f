"""Tests of vfnet_d2.utils.choices: the names are the keys of the tables they stand for."""

from vfnet_d2.inference.writers import WRITERS
from vfnet_d2.layers.soft_nms import DECAYS
from vfnet_d2.training.hooks.trackers import TRACKERS
from vfnet_d2.utils.choices import (
    AMP_PRECISIONS,
    PREDICTION_FORMATS,
    SOFT_NMS_METHODS,
    TRACKER_NAMES,
)
from vfnet_d2.utils.precision import PRECISIONS


def test_command_lines_and_configs_name_the_same_precisions() -> None:
    assert set(AMP_PRECISIONS.values()) == set(PRECISIONS)


def test_soft_nms_methods() -> None:
    assert set(SOFT_NMS_METHODS) == set(DECAYS)


def test_formats_of_predictions() -> None:
    assert tuple(WRITERS) == PREDICTION_FORMATS


def test_trackers() -> None:
    assert tuple(TRACKERS) == TRACKER_NAMES
