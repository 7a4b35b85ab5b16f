"""Tests of vfnet_d2.cli.main and the ways to start it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.reference import ROOT
from vfnet_d2.cli.main import main


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


@pytest.mark.parametrize("words", [["--help"], ["data", "check", "nowhere"], ["trian"]])
def test_what_needs_no_model_imports_no_pytorch(words: list[str]) -> None:
    program = (
        "import sys\nfrom vfnet_d2.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('modules:', *{'torch', 'detectron2', 'matplotlib', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["modules:"], done.stderr


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
