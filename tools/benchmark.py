#!/usr/bin/env python3
"""Time detectors: ``python -m benchmarks.speed``, wherever it is started from."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # benchmarks/ is no part of the installed package.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    runpy.run_module("benchmarks.speed", run_name="__main__")
