"""Writing files that are either whole or not there, and locks between processes.

Every writer of a whole file goes through :func:`replacing`, directly or by the functions below it.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import portalocker

logger = logging.getLogger(__name__)

# File systems allow names of 255 bytes; a character has at most 4.
_LONGEST_STEM = 50


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path, whose file takes the place of ``path`` when the block is done.

    When the block fails, ``path`` stays as it was and the temporary file goes. Everything is on
    the disk before the name changes hands, so a machine that loses power has the old file or the
    new one, too. Processes and threads may write the same path: the last one wins.

    Args:
        path: the file to write; its folder is made if needed.

    Yields:
        a path of the same name in a hidden folder beside ``path``. The same name, because writers
        choose a format by the suffix, and ``torch.save`` stores the name in the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _scratch_folder(path)
    scratch.mkdir()
    try:
        yield scratch / path.name
        put_in_place(scratch / path.name, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _scratch_folder(path: Path) -> Path:
    return path.with_name(f".{path.name[:_LONGEST_STEM]}.{secrets.token_hex(4)}.part")


def remove_leftovers(folder: Path, *, names: Sequence[str]) -> list[Path]:
    """Remove and return what writers of files left in a folder when they were killed.

    Only for files that nobody else may be writing now, such as those of a training that begins.

    Args:
        folder: where the files are; need not be there.
        names: patterns of the files' names.
    """
    found = [path for name in names for path in folder.glob(f".{name}.{'[0-9a-f]' * 8}.part")]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    if found:
        logger.info("Removed what a killed run had begun to write: %s", ", ".join(map(str, found)))
    return found


def put_in_place(scratch: Path, path: Path) -> None:
    """Let a complete file of the same disk take the place of ``path``; both are flushed."""
    _flush(scratch, os.O_RDWR)
    os.replace(scratch, path)
    _flush_folder(path.parent)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder where the system can open one: not on Windows."""
    if hasattr(os, "O_DIRECTORY"):
        _flush(folder, os.O_RDONLY | os.O_DIRECTORY)


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write a file by a function that is given the temporary path; see :func:`replacing`."""
    with replacing(path) as scratch:
        write(scratch)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, with line ends as they are; see :func:`replacing`.

    What UTF-8 cannot hold, such as parts of file names that are no text, becomes escapes.
    """
    with replacing(path) as scratch:
        scratch.write_bytes(text.encode("utf-8", errors="backslashreplace"))


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes ``folder`` if the block ends without an error.

    Files inside it need no care of their own: nobody sees them before.

    Raises:
        FileExistsError: there is something at ``folder``.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty: delete it or choose another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = _scratch_folder(folder)
    scratch.mkdir()
    try:
        yield scratch
        if hasattr(os, "sync"):
            os.sync()  # once, instead of for each of thousands of files
        os.replace(scratch, folder)
        _flush_folder(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a file, which ends with the process at the latest.

    Args:
        path: the file; it and its folder are made if needed.
        wait: until another process lets go. Otherwise the block is entered without the lock.

    Yields:
        whether the lock is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = portalocker.LockFlags.EXCLUSIVE
    if not wait:
        flags |= portalocker.LockFlags.NON_BLOCKING
    with path.open("a") as file:
        try:
            portalocker.lock(file, flags)
        except portalocker.AlreadyLocked:
            yield False
            return
        yield True
