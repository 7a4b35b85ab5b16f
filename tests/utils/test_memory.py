"""Tests of vfnet_d2.utils.memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Pages that come from the system while 64 MB are allocated and freed ten times more.
PROGRAM = """
import resource, sys
from vfnet_d2.utils.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
bytes(64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(64 << 20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}),
    reason="freed memory is kept with glibc only",
)


def run(mode: str, **environment: str) -> tuple[bool, int]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "LD_PRELOAD"))}
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        env={**clean, "PYTHONMALLOC": "malloc", **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kept, faults = out.split()
    return kept == "True", int(faults)


def test_freed_memory_is_taken_again_without_the_system() -> None:
    _, returned = run("leave")
    kept, faults = run("keep")
    assert kept
    assert faults < returned / 10


def test_settings_of_the_environment_stay() -> None:
    kept, _ = run("keep", MALLOC_MMAP_MAX_="65536")
    assert not kept
