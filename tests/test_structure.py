"""The structure of the package: the contracts of import-linter, where names come from, sizes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.reference import ROOT
from tests.helpers.structure import PACKAGE, Project

CHECKS = {
    "definition": Project.definition_problems,
    "length": Project.length_problems,
    "size": Project.size_problems,
}


def lint_imports(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run import-linter on the checkout in a folder."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "NO_COLOR": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_keep_the_contracts() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("layers/scale.py", "import vfnet_d2.modeling.complexity"),
        ("layers/scale.py", "def late() -> None:\n    import vfnet_d2.training.steps"),
        ("checkpoint/strip.py", "import vfnet_d2.inference.predictor"),
        ("modeling/dense/heads/init.py", "import vfnet_d2.modeling.dense.matchers.point"),
        ("modeling/dense/one_stage.py", "import vfnet_d2.modeling.dense.detectors.vfnet"),
        ("modeling/complexity.py", "import vfnet_d2.data.loading"),
        ("checkpoint/files.py", "import vfnet_d2.checkpoint.checkpointer"),
        ("doctor.py", "import vfnet_d2.utils.files"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(file: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("*.pth"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / PACKAGE / file).open("a") as changed:
        changed.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def test_the_whole_package_is_looked_at() -> None:
    assert {"layers.scale", "modeling.dense.one_stage", "config", "training"} <= set(
        Project(ROOT / PACKAGE).trees
    )


@pytest.mark.parametrize("check", CHECKS)
def test_the_package_keeps_the_rules(check: str) -> None:
    assert CHECKS[check](Project(ROOT / PACKAGE)) == []


@pytest.mark.parametrize(
    ("check", "path", "text", "problem"),
    [
        (
            "definition",
            "training/a.py",
            "from vfnet_d2.layers import Scale",
            "training.a:1: Scale is not defined in layers",
        ),
        (
            "definition",
            "training/a.py",
            "from vfnet_d2.losses.b import Scale",
            "training.a:1: Scale is not defined in losses.b",
        ),
        ("definition", "layers/a.py", "from .b import B", "layers.a:1: relative import .b"),
        (
            "definition",
            "layers/a.py",
            "import vfnet_d2.gone",
            "layers.a:1: there is no module gone",
        ),
        ("length", "layers/a.py", "X = 1\n" * 251, "a.py: 251 lines"),
        (
            "length",
            "layers/a.py",
            "def f():\n    '''Doc.'''\n" + "    x = 1\n" * 51,
            "a.py: f has 51 lines",
        ),
        # 10 lines of 62: eight rooms have 52
        ("size", "training/a.py", "X = 1\n" * 10, "training: 16.1% of the lines"),
        ("size", "layers/few.py", "X = 1", "layers: 21 files"),
    ],
)
def test_a_violation_is_reported(
    check: str, path: str, text: str, problem: str, tmp_path: Path
) -> None:
    files = {
        "layers/__init__.py": "",
        "layers/scale.py": "class Scale: pass",
        "losses/__init__.py": "",
        "losses/b.py": "from vfnet_d2.layers.scale import Scale\nclass B: pass",
        "training/__init__.py": "",
        **{f"room{n}/__init__.py": "X = 1\n" * 7 for n in range(7)},
    }
    if path == "layers/few.py":
        files |= {f"layers/x{n}.py": "" for n in range(18)}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for rule in CHECKS.values():
        assert rule(Project(tmp_path)) == []
    (tmp_path / path).write_text(text)
    assert CHECKS[check](Project(tmp_path)) == [problem]
