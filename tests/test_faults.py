"""Trainings that are killed, signalled and resumed: a part of what ``make faults`` does."""

import os
import subprocess
import sys

import pytest

from tests.helpers.reference import ROOT


@pytest.mark.slow
def test_a_part_of_the_fault_matrix() -> None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "tools/faults.py", "--part"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| resumed, ") == 5
