"""Tests of vfnet_d2.cli.main and the ways to start it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.reference import ROOT
from vfnet_d2.check.run import DatasetError
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.cli.main import build_parser, main
from vfnet_d2.data.formats.reader import FormatError
from vfnet_d2.evaluation.report.data import ReportInputError
from vfnet_d2.finetune.recipe import Wishes
from vfnet_d2.utils.errors import UserError


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "vfnet_d2", "data", "check", "nowhere"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "vfnet: error: nowhere does not exist"


# What takes seconds to import. Without it, a help text is there in a fraction of one.
HEAVY = ("torch", "torchvision", "detectron2", "fvcore", "scipy", "matplotlib", "pandas", "cv2")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["trian"],
        ["train", "--help"],
        ["predict", "--help"],
        ["predict", "a.jpg", "--format", "xml", "--weights", "a.pth"],
        ["eval", "--help"],
        ["data", "--help"],
        ["data", "check", "--help"],
        ["data", "convert", "--help"],
        ["data", "check", "nowhere"],
    ],
    ids=" ".join,
)
def test_what_needs_no_model_imports_no_pytorch(words: list[str]) -> None:
    program = (
        "import sys\nfrom vfnet_d2.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('modules:', *set({HEAVY}) & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["modules:"], done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "from vfnet_d2.cli.main import main\n"
        "main(['predict', 'nowhere.jpg', '--weights', 'nowhere.pth'])\n"
        "import vfnet_d2.inference.predictor",
        "import train_net\nimport vfnet_d2.training.from_lazy",
    ],
    ids=["vfnet", "train_net.py"],
)
def test_programs_show_no_warning_of_detectron2_s_import(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [CheckpointError, DatasetError, FormatError, ReportInputError],
    ids=lambda error: error.__name__,
)
def test_expected_mistakes_are_value_errors_with_one_base(error: type[Exception]) -> None:
    assert issubclass(error, UserError)
    assert issubclass(error, ValueError)


def test_the_default_of_accumulate_is_the_recipe_s() -> None:
    parser = build_parser("train")
    assert parser.parse_args(["train", "data"]).accumulate == Wishes().accumulate


def test_setup_names_this_function_as_the_command() -> None:
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'"console_scripts": ["vfnet = {main.__module__}:{main.__name__}"]' in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["  data ", "  train ", "  eval ", "  predict "]),
        (["data"], ["check", "convert"]),
        (["data", "check"], ["--val", "--fix", "--json", "--pictures", "--workers", "examples:"]),
        (["data", "convert"], ["--to", "--split", "OUT", "examples:"]),
    ],
)
def test_help(command: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main([*command, "--help"])
    assert leave.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in words)


@pytest.mark.parametrize("command", [[], ["data"], ["data", "check"], ["data", "chekc", "x"]])
def test_an_incomplete_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main(command)
    assert leave.value.code == 2
    assert capsys.readouterr().err.startswith("usage: vfnet")
