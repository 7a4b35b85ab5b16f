"""Tests of vfnet_d2.overrides."""

from pathlib import Path

import pytest
from detectron2.config import CfgNode, LazyConfig, get_cfg

from tests.helpers.quick_model import LAZY, YAML
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.overrides import merge_config, override_lazy_config
from vfnet_d2.utils.errors import UserError


def config() -> CfgNode:
    return add_vfnet_config(get_cfg())


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("train.max_itr=3", "train.max_iter"),
        ("train.amp.enable=True", "train.amp.enabled"),
        ("train.init_chekpoint=F", "train.init_checkpoint"),
        ("optimizer.lrr=0.1", "optimizer.lr"),
        ("model.headd.channels=8", "model.head.channels"),
        ("TRAIN.MAX_ITER=3", "train.max_iter"),
        ("max_iter=3", "train.max_iter"),
        ("dataloader.test.mapper.augmentations.7.max_size=3", ""),
        ("train.seed.x=3", "train.seed"),
        ("train.options.ema_decy=0.9", "train.options.ema_decay"),
    ],
)
def test_a_key_that_is_nowhere_is_refused(override: str, nearest: str) -> None:
    cfg = LazyConfig.load(LAZY)
    with pytest.raises(UserError) as error:
        override_lazy_config(cfg, ["train.seed=4", override])
    assert f"no key {override.partition('=')[0]}" in str(error.value)
    assert nearest in str(error.value)
    assert cfg.train.seed == 1  # nothing has been changed


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.max_iter=3", "train.max_iter", 3),
        ("train.checkpointer.max_to_keep=2", "train.checkpointer.max_to_keep", 2),
        ("model.score_thresh=0.2", "model.score_thresh", 0.2),  # an argument of the detector
        ("+notes.mine=7", "notes.mine", 7),
        ("train.options.ema_decay=0.9", "train.options.ema_decay", 0.9),
        (
            "dataloader.test.mapper.augmentations.0.max_size=99",
            "dataloader.test.mapper.augmentations.0.max_size",
            99,
        ),
    ],
)
def test_known_and_added_keys_are_set(override: str, key: str, value: float) -> None:
    cfg = override_lazy_config(LazyConfig.load(LAZY), [override])
    for part in key.split("."):
        cfg = cfg[int(part)] if part.isdigit() else cfg[part]
    assert cfg == value


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["SOLVER.MAX_ITR", "3"], "no key SOLVER.MAX_ITR; the nearest is SOLVER.MAX_ITER"),
        (["solver.max_iter", "3"], "the nearest is SOLVER.MAX_ITER"),
        (["SOLVER.MAX_ITER"], "SOLVER.MAX_ITER has no value"),
        (["SOLVER.MAX_ITER=3"], "are pairs, such as SOLVER.MAX_ITER VALUE"),
        (["SOLVER.MAX_ITER", "many"], "Type mismatch"),
    ],
)
def test_overrides_of_yaml_configs(pairs: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        merge_config(config(), YAML, pairs)


def test_an_unknown_key_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("SOLVER:\n  MAX_ITR: 3\n")
    with pytest.raises(
        UserError, match=r"a.yaml: .* SOLVER.MAX_ITR; the nearest is SOLVER.MAX_ITE"
    ):
        merge_config(config(), str(tmp_path / "a.yaml"), [])
