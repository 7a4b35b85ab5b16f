"""What an import of the package registers: each case in a process that imported nothing yet."""

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
# but not Detectron2. Prints those that failed, or that register only some of the detectors.
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
            status = int(("VFNet" in META_ARCH_REGISTRY) != ("RepPoints" in META_ARCH_REGISTRY))
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


def test_importing_the_package_alone_changes_nothing() -> None:
    run(
        "import sys, warnings\n"
        "before = list(sys.meta_path), list(warnings.filters)\n"
        "import vfnet_d2\nassert before == (list(sys.meta_path), list(warnings.filters))\n"
        "import detectron2.modeling as d2\nassert 'VFNet' not in d2.META_ARCH_REGISTRY"
    )


@pytest.mark.parametrize(
    "imports",
    [
        "from vfnet_d2 import add_vfnet_config",
        "import vfnet_d2.config",
        "import vfnet_d2.model_zoo",
        "import detectron2.modeling, vfnet_d2.config",
        "import vfnet_d2.modeling.backbone.fpn",
        "from detectron2.config import LazyConfig\n"
        "LazyConfig.load('configs/quick/vfnet_shapes.py')",
    ],
)
def test_what_names_the_classes_registers_all_parts(imports: str) -> None:
    run(imports + REGISTERED)


@pytest.mark.slow
def test_any_folder_of_the_package_can_be_imported_first() -> None:
    assert run(FIRST).split() == []


def test_the_package_lists_its_lazy_names() -> None:
    assert {"Predictor", "add_vfnet_config"} <= set(
        run("import vfnet_d2\nprint(*dir(vfnet_d2))").split()
    )


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    program = (
        "import vfnet_d2\ntry:\n    vfnet_d2.Predicter\nexcept AttributeError as e:\n    print(e)"
    )
    assert run(program).strip() == "module 'vfnet_d2' has no attribute 'Predicter'"
