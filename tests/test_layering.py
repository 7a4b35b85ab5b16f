"""The directions in which the parts of the package may know each other, and how long they are."""

from pathlib import Path

import pytest

from tests.helpers.layering import PACKAGE, Project
from tests.helpers.reference import ROOT

CHECKS = {
    "unplaced": Project.unplaced,
    "direction": Project.direction_problems,
    "meta_arch": Project.meta_arch_problems,
    "definition": Project.definition_problems,
    "foundation": Project.foundation_problems,
    "length": Project.length_problems,
}


@pytest.fixture(scope="module")
def project() -> Project:
    """The package of this checkout."""
    return Project(ROOT / PACKAGE)


@pytest.mark.parametrize("check", CHECKS)
def test_the_package_keeps_the_rules(check: str, project: Project) -> None:
    assert CHECKS[check](project) == []


def test_the_checks_see_the_whole_package(project: Project) -> None:
    assert {"layers.scale", "modeling.meta_arch.one_stage", "config", "engine"} <= set(
        project.trees
    )


@pytest.mark.parametrize(
    ("check", "path", "text", "problem"),
    [
        (
            "direction",
            "layers/a.py",
            "from vfnet_d2.modeling.heads.b import B",
            "layers.a:1 imports modeling.heads.b, from L0 up to L1",
        ),
        (
            "direction",
            "layers/a.py",
            "def late():\n    import vfnet_d2.engine.e",
            "layers.a:2 imports engine.e, from L0 up to L3",
        ),
        (
            "direction",
            "modeling/heads/a.py",
            "from vfnet_d2.modeling.matchers.m import M",
            "modeling.heads.a:1 imports modeling.matchers.m, another folder of L1",
        ),
        (
            "direction",
            "checkpoint/a.py",
            "from vfnet_d2.engine.e import E",
            "checkpoint.a:1 imports engine.e, another folder of L3",
        ),
        (
            "meta_arch",
            "modeling/meta_arch/a.py",
            "from vfnet_d2.modeling.meta_arch.other import Other",
            "modeling.meta_arch.a:1 imports modeling.meta_arch.other",
        ),
        (
            "definition",
            "engine/a.py",
            "from vfnet_d2.layers import Scale",
            "engine.a:1: Scale is not defined in layers",
        ),
        (
            "definition",
            "engine/a.py",
            "from vfnet_d2.modeling.heads.b import Scale",
            "engine.a:1: Scale is not defined in modeling.heads.b",
        ),
        ("definition", "layers/a.py", "from .b import B", "layers.a:1: relative import .b"),
        ("foundation", "losses/a.py", "import scipy.stats", "losses.a:1 imports scipy.stats"),
        ("unplaced", "plugins/a.py", "X = 1", "plugins.a: add it to LAYERS"),
        ("length", "layers/a.py", "X = 1\n" * 251, "a.py: 251 lines"),
        (
            "length",
            "layers/a.py",
            "def f():\n    '''Doc.'''\n" + "    x = 1\n" * 51,
            "a.py: f has 51 lines",
        ),
    ],
)
def test_a_violation_is_reported(
    check: str, path: str, text: str, problem: str, tmp_path: Path
) -> None:
    files = {
        "layers/__init__.py": "",
        "layers/scale.py": "class Scale: pass",
        "modeling/heads/__init__.py": "",
        "modeling/heads/b.py": "from vfnet_d2.layers.scale import Scale\nclass B: pass",
        "modeling/matchers/__init__.py": "",
        "modeling/matchers/m.py": "class M: pass",
        "modeling/meta_arch/__init__.py": "",
        "modeling/meta_arch/one_stage.py": "class Template: pass",
        "modeling/meta_arch/other.py": (
            "from vfnet_d2.modeling.meta_arch.one_stage import Template\nclass Other: pass"
        ),
        "engine/__init__.py": "",
        "engine/e.py": "from vfnet_d2.config import add\n",
        "config.py": "def add(): pass",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for rule in CHECKS.values():
        assert rule(Project(tmp_path)) == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    assert CHECKS[check](Project(tmp_path)) == [problem]
