"""Importing the package where Detectron2 is missing."""

import subprocess
import sys

from tests.helpers.reference import ROOT

# Makes this process one that has no Detectron2.
HIDE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "detectron2":
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", HIDE + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_detectron2_the_error_says_how_to_get_it() -> None:
    done = run("import vfnet_d2")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: vfnet_d2 needs Detectron2")
    assert "python tools/install_detectron2.py" in last
    assert (ROOT / "tools" / "install_detectron2.py").is_file()


def test_without_detectron2_submodules_say_the_same() -> None:
    done = run("import vfnet_d2.layers.scale")
    assert "python tools/install_detectron2.py" in done.stderr
