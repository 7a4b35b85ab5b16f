"""Tests of vfnet_d2.model_zoo."""

import importlib.resources
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from omegaconf import DictConfig

from vfnet_d2 import model_zoo
from vfnet_d2.model_zoo import available_configs, config_file, config_root

ROOT = Path(__file__).parents[1]


def test_a_checkout_uses_its_own_configs() -> None:
    assert config_root() == ROOT / "configs"


def test_an_installed_package_uses_the_copy_inside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As in site-packages: no configs/ beside the package, one inside.
    package = tmp_path / "site-packages" / "vfnet_d2"
    (package / "configs" / "quick").mkdir(parents=True)
    (package / "configs" / "quick" / "a.yaml").touch()
    monkeypatch.setattr(model_zoo, "__file__", str(package / "model_zoo.py"))
    monkeypatch.setattr(importlib.resources, "files", lambda name: package.parent / name)
    assert available_configs() == ["quick/a"]
    assert config_file("quick/a") == str(package / "configs" / "quick" / "a.yaml")


def test_lists_names_without_bases_and_parts() -> None:
    names = available_configs()
    assert {"vfnet_R_50_1x", "quick/vfnet_shapes"} <= set(names)
    assert names == sorted(names)
    assert not [name for name in names if "Base" in name or name.startswith("common")]


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_every_listed_config_is_a_file(suffix: str) -> None:
    for name in available_configs():
        path = Path(config_file(name, suffix=suffix))
        assert path == ROOT / "configs" / f"{name}{suffix}" and path.is_file()


@pytest.mark.parametrize(("name", "suffix"), [("vfnet_R_51", ".yaml"), ("vfnet_R_50_1x", ".yml")])
def test_an_unknown_config_lists_the_known_ones(name: str, suffix: str) -> None:
    with pytest.raises(ValueError) as error:
        config_file(name, suffix=suffix)
    expected = [f"'{name}'", f"'{suffix}'", "'vfnet_R_50_1x'", "'quick/vfnet_shapes'"]
    assert all(text in str(error.value) for text in expected)


def test_configs_of_both_kinds_by_name() -> None:
    cfg = model_zoo.get_config("vfnet_X_101_32x4d_MS_2x")
    assert isinstance(cfg, CfgNode) and cfg.MODEL.RESNETS.NUM_GROUPS == 32
    lazy = model_zoo.get_config("vfnet_X_101_32x4d_MS_2x", suffix=".py")
    assert isinstance(lazy, DictConfig) and lazy.model.backbone.bottom_up.num_groups == 32


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_a_model_by_name_with_weights(suffix: str, tmp_path: Path) -> None:
    first = model_zoo.get("quick/vfnet_shapes", suffix=suffix, device="cpu")
    path = tmp_path / "weights.pth"
    torch.save({"model": first.state_dict()}, path)
    second = model_zoo.get("quick/vfnet_shapes", suffix=suffix, device="cpu")
    assert not torch.equal(first.head.cls_pred.weight, second.head.cls_pred.weight)
    loaded = model_zoo.get("quick/vfnet_shapes", suffix=suffix, checkpoint=str(path), device="cpu")
    assert loaded.training
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, first.state_dict()[name]), name


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_a_model_goes_to_the_device_asked_for(suffix: str) -> None:
    model = model_zoo.get("quick/vfnet_shapes", suffix=suffix, device="meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}


@pytest.mark.parametrize("function", [model_zoo.get, model_zoo.get_config])
def test_an_unknown_name_lists_the_known(function: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=r"no config 'vfnet_R_51' .*'vfnet_R_50_1x'"):
        function("vfnet_R_51")


def test_a_missing_checkpoint_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        model_zoo.get("quick/vfnet_shapes", device="cpu", checkpoint="nowhere.pth")
