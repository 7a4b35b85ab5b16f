"""Where Detectron2 comes from: a path, a pip URL, the official repository, or the package index.

Every function here leaves an unpacked copy in a working folder of ours, for the installer to edit.
Nothing is changed where the source came from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.request
from pathlib import Path
from typing import NamedTuple

GIT_URL = "https://github.com/facebookresearch/detectron2"
GIT_COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"
SDIST = "pb1-detectron2==0.6"
SDIST_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
PROBE_SECONDS = 5.0
GIT_SECONDS = 300.0
OTHER_SOURCE = "use another package index, or give a source with --source"


class InstallError(Exception):
    """A step failed; the message is one line that says what to do."""


class Tree(NamedTuple):
    """A copy of the source to edit.

    Attributes:
        path: folder of its setup.py.
        name: what it is called in messages.
        exact: whether it must be the very source that the edits were written for.
    """

    path: Path
    name: str
    exact: bool = False


def run(arguments: list[str], *, what: str, verbose: bool, timeout: float | None = None) -> None:
    """Run a program; its output is shown under `verbose`, else kept back.

    Raises:
        InstallError: it failed or is missing; the message holds its last error line.
    """
    quiet = None if verbose else subprocess.PIPE
    # a git hook sets these, and would turn our git commands on the repository of that hook
    hooked = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    inherited = {key: value for key, value in os.environ.items() if key not in hooked}
    settings = {"GIT_TERMINAL_PROMPT": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            arguments,
            stdout=quiet,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**inherited, **settings},
        )
    except FileNotFoundError:
        raise InstallError(f"{what} failed: install {arguments[0]} first") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{what} failed: not done after {timeout:.0f} s") from None
    if done.returncode != 0:
        raise InstallError(f"{what} failed: {last_error(done.stdout or '', done.returncode)}")


def last_error(output: str, status: int) -> str:
    """The line of a program's output that says best why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        return f"the file served has not the sha256 {SDIST_SHA256}: not run; {OTHER_SOURCE}"
    if any("cannot declare direct URL dependencies" in line for line in lines):
        older = f"{sys.executable} -m pip install 'pip<26.3'"
        return (
            "pip 26.3 and newer refuse this package: an extra of it, unused here, names a URL; "
            f"give another source with --source, or use an older pip: `{older}`, then this again"
        )
    # what Python or git printed says more than pip's summary of it
    cause = [line for line in lines if re.match(r"(\w+Error|\w+Exception|fatal): ", line)]
    summary = [line for line in lines if re.match(r"error\b", line, re.IGNORECASE)]
    reason = (cause or summary or lines or [f"exit status {status}"])[-1]
    return f"{reason} (--verbose shows its whole output)"


def pip(*arguments: str, what: str, verbose: bool) -> None:
    """Run this interpreter's pip, with the user's own pip configuration."""
    run([sys.executable, "-m", "pip", *arguments], what=what, verbose=verbose)


def check_sha256(path: Path, expected: str) -> None:
    """Raise InstallError unless the file has this sha256."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise InstallError(
            f"{path.name}: expected sha256 {expected}, found {found}: not used; {OTHER_SOURCE}"
        )


def answers(url: str, *, seconds: float) -> bool:
    """Whether `url` answers within `seconds`, name resolution included."""
    result: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as reply:
                result.append(reply.status == 200)
        except (OSError, ValueError):
            result.append(False)

    # in a thread, since no timeout covers a name server that stays silent
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return result == [True]


def source_root(folder: Path, name: str) -> Path:
    """The folder of Detectron2's setup.py: `folder` or the only folder in it, else InstallError."""
    inside = [entry for entry in folder.iterdir() if entry.is_dir()]
    for root in [folder, *(inside if len(inside) == 1 else [])]:
        if (root / "setup.py").is_file() and (root / "detectron2" / "__init__.py").is_file():
            return root
    raise InstallError(
        f"{name} is no Detectron2 source: expected setup.py and detectron2/__init__.py in it; "
        "give another with --source"
    )


def from_path(path: Path, work: Path) -> Tree:
    """Copy a source tree, or unpack an archive of one, into `work`."""
    copy = work / "source"
    if path.is_dir():
        root = source_root(path, str(path))
        leave = shutil.ignore_patterns(".git", "build", "dist", "*.egg-info", "*.so", "__pycache__")
        shutil.copytree(root, copy, symlinks=True, ignore=leave)
        return Tree(copy, str(path))
    try:
        if tarfile.is_tarfile(path) and hasattr(tarfile, "data_filter"):
            shutil.unpack_archive(path, copy, filter="data")
        else:
            # Python before 3.11.4 has no filters. A source that is built runs its own code anyway.
            shutil.unpack_archive(path, copy)
    except (shutil.ReadError, tarfile.TarError) as error:
        raise InstallError(f"{path}: {error}; give a source folder or an archive of it") from None
    return Tree(source_root(copy, str(path)), str(path))


def from_pip(spec: str, work: Path, *, verbose: bool) -> Tree:
    """Let pip fetch the source that a URL or requirement names, and unpack it into `work`."""
    arguments = ["download", "--no-deps", "--no-build-isolation", "--no-binary=:all:"]
    pip(*arguments, f"--dest={work / 'download'}", spec, what=f"fetching {spec}", verbose=verbose)
    (archive,) = (work / "download").iterdir()
    return from_path(archive, work)._replace(name=spec)


def from_source(source: str, work: Path, *, verbose: bool) -> Tree:
    """The tree that `--source` names: an existing path, else something that pip can fetch."""
    path = Path(source).expanduser()
    if path.exists():
        return from_path(path.resolve(), work)
    if "://" not in source and "@" not in source and "==" not in source:
        raise InstallError(f"--source {source}: no such file or folder, and no URL for pip either")
    return from_pip(source, work, verbose=verbose)


def from_git(work: Path, *, verbose: bool) -> Tree:
    """Fetch the pinned commit, alone, from the official repository into `work`."""
    tree = work / "git"
    for step in (
        ["init", "--quiet", str(tree)],
        ["-C", str(tree), "fetch", "--quiet", "--depth=1", GIT_URL, GIT_COMMIT],
        ["-C", str(tree), "checkout", "--quiet", "FETCH_HEAD"],
    ):
        run(["git", *step], what=f"fetching {GIT_URL}", verbose=verbose, timeout=GIT_SECONDS)
    return Tree(source_root(tree, GIT_URL), f"{GIT_URL} at {GIT_COMMIT[:7]}")


def from_index(work: Path, *, verbose: bool) -> Tree:
    """Download the index's sdist of v0.6 and unpack it into `work`.

    pip runs an sdist's setup.py as soon as it has downloaded it. Told the sha256, it compares
    first, so that a file other than the pinned one is refused before any of it runs.
    """
    requirement = work / "pinned.txt"
    requirement.write_text(f"{SDIST} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    arguments = ["download", "--no-deps", "--no-build-isolation", "--no-binary=:all:"]
    arguments += ["--require-hashes", f"--requirement={requirement}", f"--dest={work / 'download'}"]
    pip(*arguments, what=f"downloading {SDIST}", verbose=verbose)
    (archive,) = (work / "download").iterdir()
    check_sha256(archive, SDIST_SHA256)
    return from_path(archive, work)._replace(name=f"{SDIST} from the package index", exact=True)
