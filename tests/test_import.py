"""Importing the package where Detectron2 is missing."""

import subprocess
import sys

import pytest

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


def test_without_detectron2_the_package_can_be_imported() -> None:
    assert run("import vfnet_d2\nassert vfnet_d2.__version__").returncode == 0


@pytest.mark.parametrize(
    "program",
    [
        "from vfnet_d2 import Predictor",
        "from vfnet_d2 import add_vfnet_config",
        "import vfnet_d2.config",
        "import vfnet_d2.model_zoo",
        "import vfnet_d2.modeling.dense.detectors.vfnet",
        "import vfnet_d2.losses.focal",
        "import vfnet_d2.inference.predictor",
        "import vfnet_d2.training.from_lazy",
        "import vfnet_d2.finetune.job",
    ],
)
def test_without_detectron2_the_error_says_how_to_get_it(program: str) -> None:
    done = run(program)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "ImportError" in last or "MissingDetectron2Error" in last
    assert "vfnet_d2 needs Detectron2" in last
    assert "python tools/install_detectron2.py" in last
    assert (ROOT / "tools" / "install_detectron2.py").is_file()


@pytest.mark.parametrize(
    "words",
    [
        "'predict', 'a.jpg', '--weights', 'a.pth'",
        "'eval', 'a.json', '--detections', 'b.json'",
        "'train', 'data', '--weights', 'a.pth'",
    ],
)
def test_without_detectron2_the_command_says_so_without_a_traceback(words: str) -> None:
    done = run(f"from vfnet_d2.cli.main import main\nsys.exit(main([{words}]))")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vfnet: error: vfnet_d2 needs Detectron2")


def test_without_detectron2_the_doctor_runs() -> None:
    done = run("import runpy\nrunpy.run_module('vfnet_d2.doctor', run_name='__main__')")
    assert done.returncode == 1
    assert "detectron2: not installed" in done.stdout


def test_without_detectron2_datasets_can_be_checked() -> None:
    done = run("from vfnet_d2.cli.main import main\nsys.exit(main(['data', 'check', 'nowhere']))")
    assert done.stderr.splitlines() == ["vfnet: error: nowhere does not exist"]
