"""Tests of vfnet_d2.checkpoint.lazy_config."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from detectron2.config import LazyCall, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from vfnet_d2.checkpoint import lazy_config
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import write_checkpoint
from vfnet_d2.checkpoint.lazy_config import (
    TARGETS,
    UnlistedPartError,
    lazy_text,
    parts_from_text,
)
from vfnet_d2.checkpoint.trained import trained_metadata
from vfnet_d2.inference.loading import model_of_checkpoint
from vfnet_d2.model_zoo import available_configs, get_config
from vfnet_d2.modeling.dense.heads.vfnet_head import VFNetHead


@pytest.fixture
def cfg() -> DictConfig:
    return get_config("quick/vfnet_shapes", suffix=".py")


def named(value: Any) -> Iterator[str]:
    """Everything that a config calls, by its full name."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "_target_":
                yield f"{item.__module__}.{item.__qualname__}"
            else:
                yield from named(item)
    elif isinstance(value, list):
        for item in value:
            yield from named(item)


def test_the_list_is_what_the_shipped_configs_are_made_of() -> None:
    found: set[str] = set()
    for name in available_configs():
        lazy = get_config(name, suffix=".py")
        for node in (lazy.model, lazy.dataloader.test.mapper):
            found.update(named(OmegaConf.to_container(node, resolve=True)))
    assert found == TARGETS


def test_the_model_is_built_again_from_the_checkpoint_alone(
    cfg: DictConfig, tmp_path: Path
) -> None:
    # Of no shipped config, and at a test size of its own.
    cfg.model.head.num_convs = 2
    cfg.dataloader.test.mapper.augmentations[0].short_edge_length = (96, 96)
    model = instantiate(cfg.model)
    metadata = trained_metadata(model, class_names=list("abcde"), cfg=cfg)
    write_checkpoint(tmp_path / "a.pth", model.state_dict(), metadata.as_dict())
    trained = model_of_checkpoint(tmp_path / "a.pth", device="cpu")
    assert str(trained.model) == str(model)
    assert trained.mapper.augmentations.augs[0].short_edge_length == [96, 96]
    assert (trained.mapper.image_format, trained.class_names) == ("RGB", list("abcde"))


def test_the_text_names_no_paths(cfg: DictConfig) -> None:
    cfg.train.output_dir = cfg.train.init_checkpoint = "/secret"
    text = lazy_text(cfg)
    assert "secret" not in text
    assert yaml.safe_load(text).keys() == {"model", "mapper"}


def test_values_that_follow_from_others_are_written_out(cfg: DictConfig) -> None:
    cfg.wide = 96
    cfg.model.head.channels = "${wide}"
    parts = parts_from_text(lazy_text(cfg), "a.pth")
    assert parts.model["head"]["channels"] == 96


@pytest.mark.parametrize(
    ("part", "named_as"),
    [
        (LazyCall(nn.Identity)(), "torch.nn.modules.linear.Identity"),
        (LazyCall(lambda: nn.Identity())(), "<lambda>"),
        ({"_target_": "os.system", "command": "false"}, "'os.system'"),
    ],
)
def test_an_own_part_is_not_recorded_and_that_is_said(
    part: Any, named_as: str, cfg: DictConfig, caplog: pytest.LogCaptureFixture
) -> None:
    model = instantiate(cfg.model)
    cfg.model.head = part
    with pytest.raises(UnlistedPartError, match=f"it calls .*{named_as}, which is not on the li"):
        lazy_text(cfg)
    with caplog.at_level(logging.WARNING, logger="vfnet_d2"):
        metadata = trained_metadata(model, class_names=list("abcde"), cfg=cfg)
    # Nor is a shipped config named, whose tensors would fit.
    assert metadata.lazy_config is None and metadata.configs == []
    assert "cannot hold its LazyConfig: it calls" in caplog.text
    assert "need the config file" in caplog.text


def test_a_class_of_a_listed_name_is_not_that_class(cfg: DictConfig) -> None:
    other = type("VFNetHead", (nn.Identity,), {"__module__": VFNetHead.__module__})
    cfg.model.head = LazyCall(other)()
    with pytest.raises(UnlistedPartError, match="not on the list"):
        lazy_text(cfg)


@pytest.mark.parametrize(
    "change",
    [
        {"_target_": "os.system", "command": "touch HERE"},
        {"_target_": {"_target_": "os.system", "command": "touch HERE"}},
        {"_target_": "vfnet_d2.losses.box.os.system"},
        {"_target_": "detectron2.config.instantiate", "cfg": {}},
        {"head": [{"deep": {"_target_": "os.system", "command": "touch HERE"}}]},
    ],
)
def test_a_file_runs_nothing(
    change: dict, cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load(lazy_text(cfg))
    values["model"].update(change)
    model = instantiate(cfg.model)
    metadata = trained_metadata(model, class_names=list("abcde"), cfg=cfg)
    metadata = metadata._replace(lazy_config=yaml.safe_dump(values))
    write_checkpoint(tmp_path / "a.pth", model.state_dict(), metadata.as_dict())
    with pytest.raises(CheckpointError, match=r"LazyConfig in .*a\.pth is not built: it calls"):
        model_of_checkpoint(tmp_path / "a.pth", device="cpu")
    assert not (tmp_path / "HERE").exists()


@pytest.mark.parametrize(
    "text",
    ["[", "3", "model: 3\nmapper: {}", "model: {}", '!!python/object/apply:os.system ["false"]'],
)
def test_what_is_no_such_text(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"LazyConfig in a\.pth is not built"):
        parts_from_text(text, "a.pth")


def test_names_of_before_a_module_moved_are_on_the_list() -> None:
    old = "vfnet_d2.modeling.meta_arch.vfnet.VFNet"
    assert lazy_config._listed_name(old) == "vfnet_d2.modeling.dense.detectors.vfnet.VFNet"
