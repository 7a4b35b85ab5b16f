"""Tests of the tools as a user starts them from a checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("visualize.py", ["--config-file", "--input", "--output", "--score-thresh", "--scale"]),
        ("demo.py", ["--fast", "--output"]),
    ],
)
def test_help(script: str, options: list[str], tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tools" / script), "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(option in done.stdout for option in options)
    assert not any(tmp_path.iterdir())


def test_benchmarks_are_found_from_any_folder(tmp_path: Path) -> None:
    """The folder benchmarks/ is not installed; the tests' own search path would hide that."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tools" / "benchmark.py"), "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--modes" in done.stdout
