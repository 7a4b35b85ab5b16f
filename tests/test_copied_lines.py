"""No two detectors share six copied lines: what they have in common is in one place."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.helpers.reference import ROOT

FOLDERS = [ROOT / "vfnet_d2/modeling/dense" / name for name in ("heads", "matchers", "detectors")]
LIMIT = 6


def code_lines(path: Path) -> list[list[str]]:
    """Lines of each function's body, without docstring, comments and line breaks."""
    bodies = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            bodies.append("\n".join(ast.unparse(statement) for statement in body).splitlines())
    return bodies


def copies(paths: list[Path], limit: int) -> list[str]:
    """Runs of ``limit`` lines that stand in more than one file."""
    places: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in paths:
        for lines in code_lines(path):
            for start in range(len(lines) - limit + 1):
                run = tuple(line.strip() for line in lines[start : start + limit])
                places[run].add(path.name)
    return [f"{sorted(names)}: {run[0]} ..." for run, names in places.items() if len(names) > 1]


def test_no_two_files_share_six_lines() -> None:
    paths = [path for folder in FOLDERS for path in folder.glob("*.py")]
    assert len(paths) > 10
    assert copies(paths, LIMIT) == []


@pytest.mark.parametrize(("shared", "found"), [(6, True), (5, False)])
def test_copies_are_seen(shared: int, found: bool, tmp_path: Path) -> None:
    for name in "ab":
        body = [f"    x = {i}  # {name}" for i in range(shared)] + [f"    y = '{name}'"]
        (tmp_path / f"{name}.py").write_text("\n".join([f"def {name}():", "    'Doc.'", *body]))
    assert bool(copies(sorted(tmp_path.glob("*.py")), LIMIT)) == found
