"""Put Detectron2 into the current Python environment, in seconds, without a compiler.

A Detectron2 that can be imported is kept and reported. Otherwise it is taken from `--source` (or
the environment variable VFNET_D2_DETECTRON2_SOURCE), from the official repository at a pinned
commit when its host answers within seconds, or from the package index's redistribution of v0.6,
whose sha256 is checked before any of it runs. What Detectron2 itself requires is part of
requirements.txt and is not installed here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from detectron2_edits import (
    NO_OPS_EDIT,
    PORT_EDITS,
    SDIST_EDITS,
    TREE_EDITS,
    EditError,
    apply_edits,
)
from detectron2_sources import (
    GIT_URL,
    PROBE_SECONDS,
    InstallError,
    Tree,
    answers,
    from_git,
    from_index,
    from_source,
    pip,
)

PACKAGES = f"{sys.executable} -m pip install -r requirements.txt"
SOURCE_VARIABLE = "VFNET_D2_DETECTRON2_SOURCE"

# Run in a fresh interpreter, so that it sees what a user's next program will see.
_LOOK = """
import importlib, json
keys = "torch path version ops zoo error".split()
report = dict.fromkeys(keys)
try:
    report["torch"] = importlib.import_module("torch").__version__
    detectron2 = importlib.import_module("detectron2")
    if detectron2.__file__:  # None for a mere folder of that name
        report["path"], report["version"] = detectron2.__path__[0], detectron2.__version__
        for name in "config data engine evaluation modeling utils.visualizer".split():
            importlib.import_module("detectron2." + name)
except Exception as error:
    report["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
for key, name in (("ops", "detectron2._C"), ("zoo", "detectron2.model_zoo")):
    try:
        report[key] = bool(importlib.import_module(name))
    except Exception:
        report[key] = False
print("\\n" + json.dumps(report))
"""


class Found(NamedTuple):
    """What a fresh interpreter sees; None for what is not there.

    Attributes:
        torch: version of torch.
        path: folder of Detectron2.
        version: what Detectron2 calls itself.
        ops: whether its compiled ops load.
        zoo: whether its model zoo can be imported.
        error: the first import of what is needed of it that failed, and why.
    """

    torch: str | None
    path: str | None
    version: str | None
    ops: bool
    zoo: bool
    error: str | None

    def __str__(self) -> str:
        ops = "load" if self.ops else "not compiled (nothing here needs them)"
        return f"Detectron2 {self.version} in {self.path}; compiled ops: {ops}"


def command(arguments: str) -> str:
    """A command line for this interpreter, as a user would type it."""
    return f"{sys.executable} {arguments}"


def look() -> Found:
    """What a fresh interpreter finds of torch and Detectron2, away from the current folder."""
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK],
            capture_output=True,
            text=True,
            errors="replace",
            cwd=nowhere,
        )
    try:
        return Found(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise InstallError(f"importing torch and detectron2 crashed Python: {last}") from None


def require_tools(found: Found) -> None:
    """Raise InstallError when torch, pip or setuptools is missing, naming the cure."""
    if found.torch is None:
        raise InstallError(
            f"torch is not usable ({found.error}): run `{PACKAGES}`, then this again"
        )
    for module, fix in (("pip", "-m ensurepip"), ("setuptools", "-m pip install setuptools wheel")):
        if importlib.util.find_spec(module) is None:
            raise InstallError(f"{module} is missing: run `{command(fix)}`, then this again")


def keep(found: Found, *, with_ops: bool) -> str:
    """The report on a Detectron2 that is already there; InstallError when it is no use as it is."""
    remove = command("-m pip uninstall --yes detectron2 pb1-detectron2")
    if found.error:
        raise InstallError(
            f"the Detectron2 in {found.path} does not work here ({found.error}): run `{PACKAGES}` "
            f"if that names a missing package, else `{remove}`, then this again"
        )
    if with_ops and not found.ops:
        raise InstallError(
            f"the Detectron2 in {found.path} has no compiled ops: run `{remove}`, then this again"
        )
    zoo = "" if found.zoo else "; its model zoo does not import (`python -m vfnet_d2.doctor`)"
    return f"kept: {found}{zoo}"


def fetch(source: str | None, work: Path, *, git: bool, with_ops: bool, verbose: bool) -> Tree:
    """Bring the first source that can be had into `work`."""
    if source:
        return from_source(source, work, verbose=verbose)
    if git and answers(GIT_URL, seconds=PROBE_SECONDS):
        try:
            return from_git(work, verbose=verbose)
        except InstallError as error:
            print(f"{error}; going on with the package index", file=sys.stderr)
    if with_ops:
        raise InstallError(
            f"--with-ops needs a source with layers/csrc: {GIT_URL} is not used or not in reach, "
            "and the package index's copy has none; give a full source tree with --source"
        )
    return from_index(work, verbose=verbose)


def install(tree: Tree, *, with_ops: bool, verbose: bool) -> None:
    """Edit our copy of the source and let pip install it, without what it requires."""
    if with_ops and not (tree.path / "detectron2" / "layers" / "csrc").is_dir():
        raise InstallError(
            f"--with-ops: {tree.name} has no detectron2/layers/csrc to build; "
            "give a full source tree with --source"
        )
    configs = tree.path / "configs", tree.path / "detectron2" / "model_zoo" / "configs"
    try:
        apply_edits(tree.path, PORT_EDITS, strict=tree.exact)
        apply_edits(tree.path, TREE_EDITS, strict=False)
        if configs[1].is_dir() and not configs[0].is_dir():
            apply_edits(tree.path, SDIST_EDITS, strict=True)
        if not with_ops:
            apply_edits(tree.path, (NO_OPS_EDIT,), strict=True)
    except EditError as error:
        raise InstallError(
            f"{tree.name} is not the source expected: {error}; give another with --source"
        ) from None
    if with_ops:
        print("building the compiled ops; this takes minutes", file=sys.stderr)
    arguments = ["install", "--no-deps", "--no-build-isolation", str(tree.path)]
    pip(*arguments, what=f"installing {tree.name}", verbose=verbose)


def set_up(options: argparse.Namespace) -> str:
    """Do what the options ask and return the line that reports it."""
    found = look()
    if found.path:
        return keep(found, with_ops=options.with_ops)
    require_tools(found)
    source = options.source or os.environ.get(SOURCE_VARIABLE)
    verbose = options.verbose
    with tempfile.TemporaryDirectory(prefix="detectron2-") as folder:
        if source and source.endswith(".whl"):
            name = source
            pip("install", "--no-deps", source, what=f"installing {source}", verbose=verbose)
        else:
            tree = fetch(
                source, Path(folder), git=options.git, with_ops=options.with_ops, verbose=verbose
            )
            name = tree.name
            install(tree, with_ops=options.with_ops, verbose=verbose)
    found = look()
    if not found.path or found.error or not found.zoo:
        reason = found.error or "its model zoo"
        raise InstallError(
            f"{name} is installed but does not import ({reason}): run `{PACKAGES}`, then this again"
        )
    return f"installed from {name}: {found}"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Put Detectron2 into this Python environment.")
    parser.add_argument(
        "--source",
        metavar="PATH_OR_PIP_URL",
        help=f"folder, archive, wheel or pip URL to install from (also: {SOURCE_VARIABLE})",
    )
    parser.add_argument(
        "--with-ops", action="store_true", help="build the compiled ops (needs a compiler)"
    )
    parser.add_argument(
        "--no-git", dest="git", action="store_false", help="do not try the official repository"
    )
    parser.add_argument("--verbose", action="store_true", help="show the output of pip and git")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        if sys.version_info < (3, 10):  # noqa: UP036 -- to say so, an old Python must get here
            raise InstallError(f"{sys.executable} is too old: run this with Python 3.10 or newer")
        print(set_up(parse(arguments)))
    except (InstallError, OSError) as error:
        print(f"install_detectron2: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install_detectron2: interrupted; run it again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
