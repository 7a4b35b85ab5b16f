"""Tests of vfnet_d2.registration: each case in a process that has imported nothing yet."""

import subprocess
import sys

import pytest

from tests.helpers.reference import ROOT

REGISTERED = """
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY
from vfnet_d2.losses.registry import CLS_LOSS_REGISTRY

assert "build_p3p7_resnet_fpn_backbone" in BACKBONE_REGISTRY
detectors = {"VFNet", "ATSS", "FCOSATSS", "FoveaBox", "RepPoints", "OneStageRetinaNet"}
assert detectors <= dict(META_ARCH_REGISTRY).keys()
assert {"FocalLoss", "QualityFocalLoss", "VarifocalLoss"} <= dict(CLS_LOSS_REGISTRY).keys()
"""

# Imports one module of each folder, and those beside the folders, in children that have PyTorch
# but not Detectron2. Prints those that failed.
FIRST = """
import os
import torch
import torchvision
from pathlib import Path

folders = [folder for folder in Path("vfnet_d2").rglob("*") if list(folder.glob("__init__.py"))]
files = [max(folder.glob("*.py")) for folder in folders] + list(Path("vfnet_d2").glob("[a-z]*.py"))
assert len(files) > 15
for file in files:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            __import__(".".join(file.with_suffix("").parts))
            from detectron2.modeling import META_ARCH_REGISTRY
            status = int("VFNet" not in META_ARCH_REGISTRY)
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        print(file)
"""


def run(program: str, *options: str) -> str:
    """What a program prints in a fresh interpreter, which must not fail."""
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_alone_imports_no_library() -> None:
    printed = run(
        "import sys\nbefore = set(sys.modules)\nimport vfnet_d2\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    assert set(printed.split()).isdisjoint(
        {"torch", "torchvision", "detectron2", "fvcore", "numpy"}
    )


@pytest.mark.parametrize(
    "imports",
    [
        "import vfnet_d2",
        "import detectron2.modeling, vfnet_d2",
        "import vfnet_d2.losses.varifocal",
        "import vfnet_d2\nimport detectron2.engine",
    ],
)
def test_the_registries_hold_the_parts_whatever_is_imported_first(imports: str) -> None:
    run(imports + REGISTERED)


@pytest.mark.slow
def test_any_folder_of_the_package_can_be_imported_first() -> None:
    assert run(FIRST).split() == []


def test_no_warning_of_detectron2_s_import_comes_through() -> None:
    run("import vfnet_d2\nimport detectron2.layers\nimport detectron2.modeling", "-W", "error")


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    program = (
        "import vfnet_d2\ntry:\n    vfnet_d2.Predicter\nexcept AttributeError as e:\n    print(e)"
    )
    assert run(program).strip() == "module 'vfnet_d2' has no attribute 'Predicter'"
