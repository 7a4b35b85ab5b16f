"""Tests of vfnet_d2.utils.files."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.reference import ROOT
from vfnet_d2.utils.files import (
    locked,
    new_folder,
    remove_leftovers,
    replacing,
    write_text,
    write_whole,
)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as scratch:
        scratch.write_text("text")
        assert not path.exists()
    assert path.read_text() == "text"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(path) as scratch:
        scratch.write_text("half")
        raise OSError("full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_writer_raises_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fill_the_disk(scratch: Path) -> None:
        scratch.write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_whole(path, fill_the_disk)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_process_that_is_killed_leaves_no_half_file(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom vfnet_d2.utils.files import replacing\n"
        "with replacing(sys.argv[1]) as scratch:\n"
        "    scratch.write_text('half')\n"
        "    os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "model.pth"
    path.write_text("old")
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert path.read_text() == "old"
    assert list(tmp_path.glob("*.pth")) == [path]


def test_file_and_name_are_flushed_around_the_change_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    replace = os.replace

    def record_flush(descriptor: int) -> None:
        calls.append(os.fstat(descriptor).st_ino)

    def record_replace(source: Path, target: Path) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_flush)
    monkeypatch.setattr(os, "replace", record_replace)
    write_text(tmp_path / "file", "text")
    inode, folder = (tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino
    assert calls == [inode, "replace", folder]


def test_threads_that_write_one_file_do_not_mix_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [letter * 10_000 for letter in "abcdefgh"]
    threads = [threading.Thread(target=write_text, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_torch_s_files_are_the_same_whenever_they_are_written(tmp_path: Path) -> None:
    # torch.save stores the name that it is given, so a name of the day would change the bytes.
    for folder in ("a", "b"):
        write_whole(
            tmp_path / folder / "model.pth", lambda path: torch.save({"w": torch.ones(2)}, path)
        )
    contents = [(tmp_path / folder / "model.pth").read_bytes() for folder in ("a", "b")]
    assert contents[0] == contents[1]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)  # 254 bytes of at most 255
    write_text(path, "text")
    assert path.read_text() == "text"


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "é\r\n\n\udcff")  # the last is of a name that is no UTF-8
    assert (tmp_path / "file").read_bytes() == "é\r\n\n".encode() + b"\\udcff"


def test_a_new_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with new_folder(folder) as scratch:
        (scratch / "file").write_text("text")
        assert not folder.exists()
    assert (folder / "file").read_text() == "text"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_new_folder_that_fails_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), new_folder(tmp_path / "new") as scratch:
        (scratch / "file").write_text("text")
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is not empty"), new_folder(tmp_path):
        pass


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom vfnet_d2.utils.files import locked\n"
        "with locked(Path(sys.argv[1]), wait=False) as held:\n    print(held)"
    )
    path = tmp_path / "new" / "lock"

    def other() -> str:
        command = [sys.executable, "-c", program, str(path)]
        return subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()

    with locked(path, wait=True) as held:
        assert (held, other()) == (True, "False")
    assert other() == "True"


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    killed = tmp_path / ".model_1.pth.0123abcd.part"
    others = [tmp_path / ".report.html.0123abcd.part", tmp_path / "model_1.pth.part"]
    for folder in (killed, *others):
        folder.mkdir()
        (folder / "model_1.pth").write_text("half")
    assert remove_leftovers(tmp_path, names=["model_*"]) == [killed]
    assert not killed.exists()
    assert all(folder.exists() for folder in others)
    assert remove_leftovers(tmp_path / "nowhere", names=["model_*"]) == []
