"""Tests of vfnet_d2.checkpoint.files."""

import hashlib
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import (
    check_suffix,
    contents_of,
    read_file,
    sha256_of,
    write_checkpoint,
)

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.scale": torch.tensor(2.0)}


class Hostile:
    """Runs a program when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


class HostileSystem(Hostile):
    """The same through the shell."""

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.trace}",)


class HostileLookup(Hostile):
    """The same through ``getattr``, which mmdet's own files name too."""

    def __reduce__(self) -> Any:
        return getattr, (OrderedDict, "fromkeys")


@pytest.mark.parametrize("hostile", [Hostile, HostileSystem])
@pytest.mark.parametrize("skip_histories", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_hostile_file_is_refused_and_does_not_run(
    hostile: type[Hostile], skip_histories: bool, legacy: bool, tmp_path: Path
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "in.pth"
    content = {"state_dict": STATE, "meta": hostile(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"which may run any code.*--unsafe-pickle"):
        read_file(path, skip_histories=skip_histories)
    assert not trace.exists()


def test_looking_up_an_attribute_is_not_done_either(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "meta": HostileLookup(tmp_path)}, tmp_path / "in.pth")
    content = read_file(tmp_path / "in.pth", skip_histories=True)
    assert type(content["meta"]).__name__ == "Discarded"


def test_the_flag_lets_a_file_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "in.pth"
    torch.save({"state_dict": STATE, "meta": HostileSystem(trace)}, path)
    read_file(path, unsafe_pickle=True)
    assert trace.exists()


@pytest.fixture
def training_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with what mmengine's message hub pickles; mmengine itself is not there."""

    class HistoryBuffer:
        def __init__(self) -> None:
            self.log_history = np.arange(3.0)

        def mean(self) -> float:
            return float(self.log_history.mean())

        def __getstate__(self) -> dict[str, Any]:
            return {**self.__dict__, "statistics_methods": {"mean": HistoryBuffer.mean}}

        def __setstate__(self, state: dict[str, Any]) -> None:
            raise AssertionError("was called")

    names = ["mmengine", "mmengine.logging", "mmengine.logging.history_buffer"]
    modules = [types.ModuleType(name) for name in names]
    HistoryBuffer.__module__ = names[-1]
    HistoryBuffer.__qualname__ = "HistoryBuffer"
    HistoryBuffer.mean.__module__ = names[-1]
    HistoryBuffer.mean.__qualname__ = "HistoryBuffer.mean"
    modules[-1].HistoryBuffer = HistoryBuffer
    path = tmp_path / "epoch_12.pth"
    with monkeypatch.context() as patch:
        for name, module in zip(names, modules, strict=True):
            patch.setitem(sys.modules, name, module)
        hub = {"log_scalars": {"train/loss": HistoryBuffer()}, "seed": np.float64(3)}
        torch.save({"state_dict": STATE, "message_hub": hub}, path)
    return path


def test_mmdet_s_training_files_are_read_without_mmengine(training_file: Path) -> None:
    content = read_file(training_file, skip_histories=True)
    assert content["state_dict"]["a.weight"].equal(STATE["a.weight"])
    assert type(content["message_hub"]["log_scalars"]["train/loss"]).__name__ == "Discarded"


def test_where_nothing_is_skipped_they_are_refused(training_file: Path) -> None:
    # A run of ours that resumes shall not lose a value silently.
    with pytest.raises(CheckpointError, match=r"epoch_12\.pth cannot be read without mmengine\."):
        read_file(training_file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_written_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"out{suffix}"
    write_checkpoint(path, STATE, {"classes": ["a"]})
    content = read_file(path)
    assert content["vfnet_d2"] == {"classes": ["a"]}
    assert content["model"].keys() == STATE.keys()
    assert all(content["model"][name].equal(STATE[name]) for name in STATE)


def test_safetensors_hold_what_safetensors_reads(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "out.safetensors", STATE, {})
    assert load_file(tmp_path / "out.safetensors")["a.weight"].equal(STATE["a.weight"])


def test_torch_files_hold_what_detectron2_reads_without_guessing_names(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "out.pth", STATE, {})
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert content["model"].keys() == STATE.keys()
    assert content["matching_heuristics"] is False


def test_safetensors_of_others_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "in.safetensors")
    assert read_file(tmp_path / "in.safetensors").keys() == {"model"}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(suffix: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / f"in{suffix}"
    write_checkpoint(path, STATE, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=rf"in\{suffix} is truncated or corrupted"):
        read_file(path)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "in.pth"
    torch.save({"model": {"a": torch.full((50,), 7.0)}}, path)
    data = bytearray(path.read_bytes())
    where = data.index(np.full(50, 7, np.float32).tobytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="truncated or corrupted"):
        read_file(path)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.pth").write_text("<html>404 not found</html>")
    with pytest.raises(CheckpointError, match="or no checkpoint"):
        read_file(tmp_path / "in.pth")


def test_nobody_is_told_to_read_a_damaged_file_unsafely(tmp_path: Path) -> None:
    # torch's own message begins with that advice.
    (tmp_path / "in.pth").write_text("<html>404 not found</html>")
    with pytest.raises(CheckpointError) as error:
        read_file(tmp_path / "in.pth")
    assert "weights_only" not in str(error.value)
    assert "Unsupported operand" in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth does not exist"):
        read_file(tmp_path / "nowhere.pth")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="holds a list, not a dict"):
        read_file(tmp_path / "in.pth")


@pytest.mark.parametrize("entry", ["state_dict", "model", None])
def test_finds_the_tensors(entry: str | None) -> None:
    content = STATE if entry is None else {entry: STATE, "optimizer": {"lr": 1}}
    contents = contents_of(content, "x.pth")
    assert contents.state == STATE
    assert contents.rest == ({} if entry is None else {"optimizer": {"lr": 1}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "it is empty"),
        ({"model": {}}, "it is empty"),
        ({"epoch": 3, "lr": 0.1}, r"'epoch' is a int \(of 2 entries\)"),
        ({"state_dict": {"a": torch.zeros(1), "b": "x"}}, r"'b' is a str \(of 2 entries\)"),
        ({"state_dict": {0: torch.zeros(1)}}, r"one is named 0, a int \(of 1 entries\)"),
    ],
)
def test_a_file_without_tensors_is_refused(content: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"x\.pth holds no state dict: .*{message}"):
        contents_of(content, "x.pth")


def test_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "in").write_bytes(data)
    assert sha256_of(tmp_path / "in") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_view_is_written_without_its_storage(suffix: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / f"out{suffix}", {"a": torch.zeros(2**20)[:1]}, {})
    assert (tmp_path / f"out{suffix}").stat().st_size < 10_000


def test_the_suffix_must_say_what_to_write() -> None:
    check_suffix("a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pkl: its name must end in one of"):
        check_suffix("a.pkl")
