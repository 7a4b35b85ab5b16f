"""Tests of tools/oracle_analysis.py."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import vfnet_d2.paper.oracle_analysis
from tests.helpers.oracle_reports import table_1
from tests.helpers.reference import ROOT
from vfnet_d2.paper.oracle_report import format_report


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Any, ...]:
    """Run the tool without its analysis; return what that was asked for."""
    calls: list[tuple[Any, ...]] = []

    def analyse(config_file: str, opts: list[str], output: Path, **options: Any) -> dict[str, Any]:
        calls.append((config_file, opts, output, options))
        return table_1()

    monkeypatch.setattr(vfnet_d2.paper.oracle_analysis, "analyse_config", analyse)
    monkeypatch.setattr(sys, "argv", ["oracle_analysis.py", *arguments])
    runpy.run_path(str(ROOT / "tools" / "oracle_analysis.py"), run_name="__main__")
    return calls[0]


def test_arguments_reach_the_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    found = start(
        monkeypatch,
        *("--config-file", "a.yaml", "--output", "b", "--num-gpus", "0", "MODEL.WEIGHTS", "c"),
    )
    options = {"num_gpus": 0, "num_workers": 0}
    assert found == ("a.yaml", ["MODEL.WEIGHTS", "c"], Path("b"), options)


def test_the_table_is_printed_and_the_folder_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(monkeypatch, "--config-file", "a.yaml", "--output", "b")
    printed = capsys.readouterr()
    assert printed.out == format_report(table_1()) + "\n"
    assert printed.err == "tables and pictures are in b\n"


def test_help_shows_the_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, "--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--config-file", "--output", "--num-gpus"))
