"""Tests of vfnet_d2.model_zoo."""

import importlib.resources
from pathlib import Path

import pytest

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
