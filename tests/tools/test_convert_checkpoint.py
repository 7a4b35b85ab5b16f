"""Tests of tools/convert_checkpoint.py as a user starts it."""

import subprocess
import sys
from pathlib import Path

import convert_checkpoint
import pytest
import torch

from tests.helpers.checkpoints import save_mmdet, thin_state
from tests.helpers.reference import ROOT
from tests.helpers.shrink import NUM_CLASSES
from tests.helpers.their_yolof import TheirYOLOF, small_yolof
from vfnet_d2.checkpoint.files import read_file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small file of mmdet."""
    return save_mmdet(tmp_path / "in.pth", thin_state("vfnet_r50_fpn"))


def start(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the tool in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["convert_checkpoint.py", *map(str, arguments)])
    return convert_checkpoint.main()


def test_converts_and_says_what_it_did(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert start(monkeypatch, source, tmp_path / "out.safetensors") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("architecture: vfnet_R_50 (VFNet), 80 classes")
    assert said[-1] == f"written: {tmp_path / 'out.safetensors'}"
    assert read_file(tmp_path / "out.safetensors")["vfnet_d2"]["architecture"] == "vfnet_R_50"


def test_converts_back(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, source, tmp_path / "ours.pth") == 0
    assert start(monkeypatch, tmp_path / "ours.pth", tmp_path / "back.pth", "--to", "mmdet") == 0
    state = torch.load(tmp_path / "back.pth", weights_only=True)["state_dict"]
    assert state.keys() == thin_state("vfnet_r50_fpn").keys()


def test_converts_to_the_names_of_yolof_s_authors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"model": small_yolof().state_dict()}, tmp_path / "in.pth")
    options = ("--to", "chensnathan", "--num-classes", NUM_CLASSES)
    assert start(monkeypatch, tmp_path / "in.pth", tmp_path / "out.pth", *options) == 0
    TheirYOLOF().load_state_dict(read_file(tmp_path / "out.pth")["model"])


def test_drops_the_classifier(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(monkeypatch, "--drop-classifier", source, tmp_path / "out.pth") == 0
    assert "head.cls_pred.weight" not in read_file(tmp_path / "out.pth")["model"]


def test_the_report_has_every_key(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.txt"
    assert start(monkeypatch, source, tmp_path / "out.pth", "--report", report) == 0
    mapped = [line for line in report.read_text().splitlines() if line.startswith("mapped: ")]
    assert {line.split()[1] for line in mapped} == thin_state("vfnet_r50_fpn").keys()


def test_a_failure_reports_too_and_writes_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    state = {**thin_state("vfnet_r50_fpn"), "neck.extra": torch.zeros(1)}
    source = save_mmdet(tmp_path / "in.pth", state)
    report = tmp_path / "report.txt"
    assert start(monkeypatch, source, tmp_path / "out.pth", "--report", report) == 1
    assert "left over: neck.extra" in capsys.readouterr().err
    assert "left over: neck.extra" in report.read_text()
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 half of a file"])
def test_a_damaged_file_is_one_line_and_status_1(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.pth").write_bytes(content)
    if content != b"<html>":  # starting a process takes seconds: once is enough
        with pytest.MonkeyPatch.context() as patch:
            assert start(patch, tmp_path / "in.pth", tmp_path / "out.pth") == 1
        return
    script = str(ROOT / "tools" / "convert_checkpoint.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, "in.pth", "out.pth"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: in.pth is truncated or corrupted, or no checkpoint (")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_a_missing_file_is_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert start(monkeypatch, tmp_path / "in.pth", tmp_path / "out.pth") == 1
    assert capsys.readouterr().err.endswith("in.pth does not exist\n")
