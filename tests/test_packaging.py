"""What ships: the wheel's content, and that each version is told the same everywhere."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vfnet_d2
from vfnet_d2 import doctor

ROOT = Path(__file__).resolve().parents[1]


def read(name: str) -> str:
    """A file of the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    """Package -> version of a pinned requirements file; every line must be a pin."""
    lines = [line for line in read(name).splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel, built offline from a copy of what packaging reads."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("vfnet_d2", "configs", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, f"--wheel-dir={copy / 'dist'}", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (archive,) = (copy / "dist").glob("vfnet_d2-*.whl")
    with zipfile.ZipFile(archive) as file:
        return set(file.namelist())


def shipped(folder: str, *patterns: str) -> set[str]:
    """The files of a folder of the repository that match, relative to it."""
    root = ROOT / folder
    found = (path for pattern in patterns for path in root.rglob(pattern))
    return {path.relative_to(root).as_posix() for path in found}


def test_every_config_ships_inside_the_package(wheel: set[str]) -> None:
    configs = {f"vfnet_d2/configs/{name}" for name in shipped("configs", "*.yaml", "*.py")}
    assert "vfnet_d2/configs/vfnet_R_50_1x.yaml" in configs
    assert configs <= wheel


def test_every_module_ships(wheel: set[str]) -> None:
    assert {f"vfnet_d2/{name}" for name in shipped("vfnet_d2", "*.py")} <= wheel


def test_the_assets_ship(wheel: set[str]) -> None:
    assets = shipped("vfnet_d2", "assets/*.pth", "assets/*.json")
    assert {f"vfnet_d2/{name}" for name in assets} <= wheel


def test_the_page_of_the_report_ships(wheel: set[str]) -> None:
    page = shipped("vfnet_d2", "evaluation/report/page.*")
    assert {"evaluation/report/page.html", "evaluation/report/page.css"} <= page
    assert {f"vfnet_d2/{name}" for name in page} <= wheel


def test_nothing_else_ships(wheel: set[str]) -> None:
    folders = {name.split("/")[0] for name in wheel}
    assert folders == {"vfnet_d2", f"vfnet_d2-{vfnet_d2.__version__}.dist-info"}


def test_setup_imports_neither_torch_nor_the_package() -> None:
    imported = set()
    for node in ast.walk(ast.parse(read("setup.py"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == {"re", "pathlib", "setuptools"}


def test_doctor_needs_nothing_of_this_package() -> None:
    text = read("vfnet_d2/doctor.py")
    assert not re.search(r"^\s*(from|import) (vfnet_d2|detectron2|\.)", text, re.MULTILINE)


@pytest.mark.parametrize("package", sorted(doctor.FLOORS))
def test_doctor_and_setup_agree_on_the_floor(package: str) -> None:
    assert f'"{package}>={doctor.FLOORS[package]}"' in read("setup.py")


def test_doctor_names_the_tested_pair() -> None:
    pinned = pins("requirements.txt")
    expected = f"torch=={pinned['torch']} torchvision=={pinned['torchvision']}"
    assert expected == doctor.TESTED_PAIR


def test_pre_commit_pins_the_same_ruff() -> None:
    version = pins("requirements-dev.txt")["ruff"]
    assert re.search(
        rf"ruff-pre-commit\n\s+rev: v{re.escape(version)}\n", read(".pre-commit-config.yaml")
    )


def test_citation_gives_this_version() -> None:
    assert f"\nversion: {vfnet_d2.__version__}\n" in read("CITATION.cff")
