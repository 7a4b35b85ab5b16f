"""Tests of tools/reproduce.py."""

import os
import signal
import sys
from pathlib import Path

import pytest
import reproduce as tool

from vfnet_d2.paper import reproduce
from vfnet_d2.paper.reproduce_runs import Run, Settings


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Run, Settings]]:
    """What the stub in the place of the training is called with."""
    called: list[tuple[Run, Settings]] = []

    def train(run: Run, settings: Settings) -> None:
        called.append((run, settings))
        run.folder.mkdir(parents=True, exist_ok=True)
        if run.seed == 666:
            os.kill(os.getpid(), signal.SIGTERM)
        if run.seed == 13:
            raise RuntimeError("unlucky")
        entry = ", ".join(f'"bbox/{n}": 7' for n in ("AP", "AP50", "AP75", "APs", "APm", "APl"))
        (run.folder / "metrics.json").write_text(f"{{{entry}}}\n")

    monkeypatch.setattr(reproduce.execute, "__kwdefaults__", {"train": train})
    return called


def start(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *words])
    return tool.main()


def test_trains_what_is_asked_for_and_prints_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list, capsys: pytest.CaptureFixture
) -> None:
    words = ["--rows", "vfnet_R_50_1x", "--table3", "--seeds", "4", "5", "--iterations", "20"]
    assert start(monkeypatch, *words, "--images", "30", "--output", str(tmp_path)) == 0
    assert [(run.config, run.seed) for run, _ in calls] == [
        ("vfnet_R_50_1x", 4),
        ("vfnet_R_50_1x", 5),
    ]
    assert {settings for _, settings in calls} == {Settings(20, 30)}
    printed = capsys.readouterr().out
    assert "[2/2] vfnet_R_50_1x seed 5: AP 7.00" in printed
    assert "### Table 3" in printed and "### Table 5" not in printed
    assert printed.endswith((tmp_path / "report.md").read_text() + "\n")


def test_the_exit_status_tells_of_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list
) -> None:
    words = ["--rows", "vfnet_R_50_1x", "--seeds", "13", "1", "--output", str(tmp_path)]
    assert start(monkeypatch, *words) == 1
    assert len(calls) == 2


def test_killed_it_stops_as_if_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list
) -> None:
    """So the block that ends the training in the other process is run."""
    before = signal.getsignal(signal.SIGTERM)
    # Without a handler of its own the tool would take the tests with it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    words = ["--rows", "vfnet_R_50_1x", "--seeds", "666", "1", "--output", str(tmp_path)]
    try:
        with pytest.raises(KeyboardInterrupt):
            start(monkeypatch, *words)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(calls) == 1


def test_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list, capsys: pytest.CaptureFixture
) -> None:
    words = ["--dry-run", "--table5", "--seeds", "1", "2", "--output", str(tmp_path / "new")]
    assert start(monkeypatch, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30 and lines[0] == "baselines/retinanet_R_50_1x seed 1: to do"
    assert not calls and not (tmp_path / "new").exists()
