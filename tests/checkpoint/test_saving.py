"""Tests of vfnet_d2.checkpoint.saving and of the checkpointer where files cannot be written."""

import errno
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from vfnet_d2.checkpoint import checkpointer as module
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.errors import SaveError


def saved_once(folder: Path) -> CheckedCheckpointer:
    """A checkpointer with one checkpoint."""
    checkpointer = CheckedCheckpointer(nn.Linear(1000, 500), str(folder))
    checkpointer.save("model_0000001", iteration=1)
    return checkpointer


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    ],
)
def test_a_full_disk_names_path_and_space(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = saved_once(tmp_path)

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(module.torch, "save", full)
    with pytest.raises(SaveError) as raised:
        checkpointer.save("model_0000002", iteration=2)
    text = str(raised.value)
    assert f"cannot save {tmp_path / 'model_0000002.pth'}: " in text
    assert f"MB are free in {tmp_path}; the file needs about 2.0 MB" in text  # 500,500 x 4 bytes
    assert "--resume" in text
    assert names(tmp_path) == {"model_0000001.pth", "last_checkpoint"}
    assert checkpointer.get_checkpoint_file().endswith("model_0000001.pth")


def test_a_folder_that_is_deleted_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    checkpointer = saved_once(folder)
    shutil.rmtree(folder)
    with pytest.raises(SaveError, match=f"{folder} is gone.*are free in {tmp_path}"):
        checkpointer.save("model_0000002")
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = saved_once(tmp_path)

    def refuse(path: Path, *args: object, **options: object) -> None:
        if path.name.endswith(".part"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SaveError, match=r"Read-only file system.*free space or mend the folder"):
        checkpointer.save("model_0000002")


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    checkpointer = saved_once(tmp_path)
    with torch.no_grad():
        checkpointer.model.bias[3] = float("inf")
    with pytest.raises(FloatingPointError, match=r"weights are not finite: bias\. The checkpoint"):
        checkpointer.save("model_0000002")
    assert names(tmp_path) == {"model_0000001.pth", "last_checkpoint"}
