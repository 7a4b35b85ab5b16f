"""Tests of vfnet_d2.checkpoint.checkpointer: what it saves, also of a process that is killed."""

import os
from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer


class KilledError(Exception):
    """Stands for the end of the process."""


def resumed(folder: Path) -> float:
    """The bias that a training would go on with; it must come from a whole file."""
    model = nn.Linear(1, 1)
    CheckedCheckpointer(model, str(folder)).resume_or_load("", resume=True)
    return float(model.bias.detach())


def save_bias(folder: Path, value: float, name: str) -> None:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.bias, value)
    CheckedCheckpointer(model, str(folder)).save(name, iteration=0)


@pytest.mark.parametrize("name", ["model_final", "model_0000001"])
def test_killed_while_it_writes_the_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next file may have the name of the one before.
    save_bias(tmp_path, 1.0, "model_final")

    def half(content: object, file: object) -> None:
        data = b"half of a checkpoint"
        Path(file).write_bytes(data) if isinstance(file, str | Path) else file.write(data)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(KilledError):
            save_bias(tmp_path, 2.0, name)
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert resumed(tmp_path) == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "last_checkpoint",
        "model_final.pth",
    ]


def test_killed_before_the_checkpoint_is_named_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bias(tmp_path, 1.0, "model_0000000")
    replace = os.replace

    def until_the_tag(source: str | Path, target: str | Path) -> None:
        if Path(target).name == "last_checkpoint":
            raise KilledError
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_the_tag)
        with pytest.raises(KilledError):
            save_bias(tmp_path, 2.0, "model_0000001")
    assert (tmp_path / "model_0000001.pth").exists()
    assert resumed(tmp_path) == 1.0


def test_what_is_saved_is_what_detectron2_saves(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    for kind, folder in ((DetectionCheckpointer, "theirs"), (CheckedCheckpointer, "ours")):
        (tmp_path / folder).mkdir()
        checkpointer = kind(model, str(tmp_path / folder), other=nn.Linear(1, 1).eval())
        checkpointer.checkpointables["other"].load_state_dict(model.state_dict())
        checkpointer.save("model", iteration=3)
    ours, theirs = (
        torch.load(tmp_path / folder / "model.pth", weights_only=True)
        for folder in ("ours", "theirs")
    )
    assert str(ours) == str(theirs)
    assert list(ours) == ["model", "other", "iteration"]


@pytest.mark.parametrize("options", [{"save_to_disk": False}, {"save_dir": ""}])
def test_nothing_is_saved_where_nothing_should_be(options: dict, tmp_path: Path) -> None:
    options = {"save_dir": str(tmp_path), **options}
    CheckedCheckpointer(nn.Linear(1, 1), **options).save("model")
    assert list(tmp_path.iterdir()) == []
