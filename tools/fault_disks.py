"""Trainings whose process is killed while it saves, or whose disk fails them."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

import torch
from fault_compare import differences
from fault_points import Point
from fault_runs import forked, train
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.utils.files import remove_leftovers


def kills_around_saves(folder: Path, *, count: int, seed: int = 0) -> list[str]:
    """Kill a process that saves again and again, at random moments; return what went wrong.

    Args:
        folder: to save in.
        count: of kills.
        seed: of their moments.
    """
    moments = random.Random(seed)
    problems: list[str] = []
    started = 0

    def save_for_ever() -> None:
        checkpointer = CheckedCheckpointer(nn.Linear(400, 400), str(folder))
        for number in range(started, started + 100_000):
            with torch.no_grad():
                checkpointer.model.weight.fill_(number)
            checkpointer.save(f"model_{number % 5}", iteration=number)

    for kill in range(count):
        child = os.fork()
        if child == 0:
            try:
                os.dup2(os.open(folder / "run.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
                save_for_ever()
            finally:
                os._exit(1)
        problems += _after_kill(folder, child, moments.uniform(0.01, 0.08), kill)
        latest = _latest(folder)
        started = latest + 1 if latest is not None else 0
    return problems


def _after_kill(folder: Path, child: int, delay: float, kill: int) -> list[str]:
    """Kill the saving process, and look at what it left."""
    time.sleep(delay)
    os.kill(child, SIGKILL)
    os.waitpid(child, 0)
    remove_leftovers(folder, names=("model_*", "last_checkpoint*"))
    found = [f"kill {kill}: {path.name} is left" for path in folder.glob("*.part")]
    for path in folder.glob("model_*.pth"):
        try:
            content = torch.load(path, weights_only=True)
        except Exception as error:
            found.append(f"kill {kill}: {path.name} cannot be loaded ({error})")
            continue
        if not bool((content["model"]["weight"] == content["iteration"]).all()):
            found.append(f"kill {kill}: {path.name} is a mixture of two")
    if any(folder.glob("model_*.pth")) and kill > 0 and _latest(folder) is None:
        found.append(f"kill {kill}: there is no latest checkpoint")
    return found


def _latest(folder: Path) -> int | None:
    """Return the iteration of the latest checkpoint, if there is one."""
    checkpointer = CheckedCheckpointer(nn.Linear(400, 400), str(folder))
    if not checkpointer.has_checkpoint():
        return None
    return int(checkpointer.resume_or_load("", resume=True)["iteration"])


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a small disk at a folder, which needs the right to."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "x", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def full_disk(data: Path, reference: Path, folder: Path) -> list[str]:
    """Train on a disk that is too small for the second checkpoint, then on one that is not."""
    size = sum(path.stat().st_size for path in reference.glob("model_0000001.pth"))
    megabytes = int(1.5 * size / 2**20) + 1
    log = folder / "full.log"
    with small_disk(folder / "disk", megabytes=megabytes) as disk:
        output = disk / "out"
        status = train("YAML", "plain", data, output, resume=False, log=log)
        problems = [] if status == 1 else [f"status {status}"]
        problems += [f"not said: {text}" for text in _unsaid(log, "are free in", str(output))]
        problems += _loadable(output, "model_0000001.pth")
        subprocess.run(["mount", "-o", "remount,size=500m", disk], check=True)
        status = train("YAML", "plain", data, output, resume=True, log=log)
        return problems + ([f"resumed: {status}"] if status else differences(output, reference))


def read_only_disk(data: Path, reference: Path, folder: Path) -> list[str]:
    """Train on a disk that becomes read-only before the second checkpoint."""
    log = folder / "read_only.log"
    with small_disk(folder / "disk", megabytes=500) as disk:
        output = disk / "out"
        stopped = Point("step", 4)
        train("YAML", "plain", data, output, resume=False, point=stopped, log=log)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        status = forked(lambda: _save_into(output), log)
        problems = [] if status == 1 else [f"status {status}"]
        problems += [f"not said: {text}" for text in _unsaid(log, "Read-only", str(output))]
        problems += _loadable(output, "model_0000001.pth")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        status = train("YAML", "plain", data, output, resume=True, log=log)
        return problems + ([f"resumed: {status}"] if status else differences(output, reference))


def _save_into(output: Path) -> None:
    CheckedCheckpointer(nn.Linear(4, 4), str(output)).save("model_0000003", iteration=3)


def deleted_folder(data: Path, folder: Path) -> list[str]:
    """Take the output folder away while a training runs in it."""
    output, log = folder / "out", folder / "deleted.log"
    child = os.fork()
    if child == 0:
        status = train("YAML", "plain", data, output, resume=False, log=log, point=None)
        os._exit(status)
    while not (output / "model_0000001.pth").exists():
        time.sleep(0.005)
    output.rename(folder / "away")  # at once, where deleting file by file would race
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    problems = [] if status == 1 else [f"status {status}"]
    return problems + [f"not said: {text}" for text in _unsaid(log, f"the folder {output} is gone")]


def _unsaid(log: Path, *texts: str) -> list[str]:
    content = log.read_text(errors="replace")
    return [text for text in texts if text not in content]


def _loadable(output: Path, name: str) -> list[str]:
    if (output / "last_checkpoint").read_text() != name:
        return [f"the latest checkpoint is not {name}"]
    torch.load(output / name, weights_only=True)
    return []
