"""Tests of vfnet_d2.augmentation.registry."""

import pytest
from detectron2.config import get_cfg

from vfnet_d2.augmentation.random_shift import RandomShift
from vfnet_d2.augmentation.registry import build_augmentations
from vfnet_d2.config import add_vfnet_config


def test_a_yaml_config_names_augmentations_and_their_settings() -> None:
    cfg = add_vfnet_config(get_cfg())
    assert build_augmentations(cfg.INPUT.AUGMENTATIONS) == []
    cfg.merge_from_list(
        [
            *("INPUT.AUGMENTATIONS.NAMES", ["RandomShift"]),
            *("INPUT.AUGMENTATIONS.RandomShift.MAX_SHIFT", 8),
        ]
    )
    (shift,) = build_augmentations(cfg.INPUT.AUGMENTATIONS)
    assert isinstance(shift, RandomShift)
    assert (shift.prob, shift.max_shift) == (0.5, 8)


def test_an_unknown_name_is_refused() -> None:
    cfg = add_vfnet_config(get_cfg())
    cfg.INPUT.AUGMENTATIONS.NAMES = ["RandomShfit"]
    with pytest.raises(ValueError, match=r"INPUT\.AUGMENTATIONS\.NAMES is 'RandomShfit'.*Random"):
        build_augmentations(cfg.INPUT.AUGMENTATIONS)
