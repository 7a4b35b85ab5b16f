#!/usr/bin/env python3
"""End trainings in every way, resume them, and compare with those that were never interrupted.

    tools/faults.py                     everything, with the table of docs/reliability.md
    tools/faults.py --part              a part of it, in less than a minute
    tools/faults.py --only kills disks  some of: resume, kills, disks

Trainings of 6 iterations, with a checkpoint and a validation every 2, are ended at each point in
turn. The status is 1 if a result differs from that of the uninterrupted training in any bit.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from fault_compare import differences
from fault_disks import deleted_folder, full_disk, kills_around_saves, read_only_disk
from fault_points import POINTS
from fault_runs import MODES, SYSTEMS, train, write_data

# Each point, mode and system at least once.
PART = [
    ("YAML", "EMA", ["save", "SIGTERM in validation"]),
    ("LazyConfig", "accumulation 2", ["validation", "SIGUSR1"]),
    ("vfnet train", "2 workers", ["mid", "SIGINT"]),
    ("YAML", "2 processes", ["last-1", "SIGTERM"]),
    ("LazyConfig", "bfloat16", ["first", "after the end"]),
]


class Result(NamedTuple):
    """One row of the table.

    Attributes:
        what: was done.
        cases: how often.
        problems: that there were.
    """

    what: str
    cases: int
    problems: list[str]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="store_true", help="a part, in less than a minute")
    parser.add_argument("--only", nargs="+", choices=["resume", "kills", "disks"], default=[])
    parser.add_argument("--kills", type=int, default=200, help="default: %(default)s")
    return parser.parse_args()


def resumptions(
    folder: Path, data: Path, system: str, mode: str, points: list[str]
) -> Iterator[str]:
    """End and resume a training at each point; yield what differs."""
    reference = folder / system / mode / "reference"
    reference.mkdir(parents=True)
    status = train(system, mode, data, reference, resume=False)
    if status:
        yield f"the uninterrupted training ended with {status}: {_last_line(reference)}"
        return
    for name in points:
        point, output = POINTS[name], folder / system / mode / name / "output"
        output.mkdir(parents=True)
        ended = train(system, mode, data, output, resume=False, point=point)
        # Of several processes, those that are left end with an error of their own.
        if ended != point.status and not (mode == "2 processes" and ended and point.status < 0):
            yield f"{name}: it ended with {ended}, not {point.status}: {_last_line(output)}"
        if "SIG" in name and "Go on with:" not in (output / "run.log").read_text():
            yield f"{name}: no command to go on"
        status = train(system, mode, data, output, resume=True)
        if status:
            yield f"{name}: the resumed training ended with {status}: {_last_line(output)}"
            continue
        yield from (f"{name}: {where} differs" for where in differences(output, reference)[:3])
        yield from (f"{name}: {path.name} is left" for path in output.glob(".*.part"))


def _last_line(output: Path) -> str:
    lines = (output / "run.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def results(arguments: argparse.Namespace, folder: Path) -> Iterator[Result]:
    """Do what is asked for, and yield the rows of the table."""
    data = folder / "data"
    write_data(data)
    chosen = arguments.only or ["resume", "kills", "disks"]
    if "resume" in chosen:
        everything = [(system, mode, list(POINTS)) for mode in MODES for system in SYSTEMS]
        for system, mode, points in PART if arguments.part else everything:
            if (system, mode) == ("vfnet train", "2 processes"):
                continue  # it has one process for each GPU
            found = list(resumptions(folder, data, system, mode, points))
            yield Result(f"resumed, {system}, {mode}", len(points), found)
    if "kills" in chosen:
        count = 30 if arguments.part else arguments.kills
        (folder / "kills").mkdir()
        found = kills_around_saves(folder / "kills", count=count)
        yield Result("killed at a random moment around a save", count, found)
    if "disks" in chosen:
        yield from _disks(folder, data, mounts=not arguments.part)


def _disks(folder: Path, data: Path, *, mounts: bool) -> Iterator[Result]:
    (folder / "deleted").mkdir()
    yield Result("output folder deleted in training", 1, deleted_folder(data, folder / "deleted"))
    if not mounts:
        return
    reference = folder / "disks" / "reference"
    reference.mkdir(parents=True)
    train("YAML", "plain", data, reference, resume=False)
    ways: dict[str, Callable[[Path, Path, Path], list[str]]] = {
        "disk full at a save, then resumed with room": full_disk,
        "disk read-only at a save, then resumed": read_only_disk,
    }
    for number, (what, work) in enumerate(ways.items()):
        place = folder / "disks" / str(number)
        place.mkdir()
        yield Result(what, 1, work(data, reference, place))


def main() -> int:
    """Print a row for each result, and what went wrong; return 1 if something did."""
    arguments = parse_arguments()
    torch.set_num_threads(1)  # before the first fork, which threads would not survive
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    start, bad = time.monotonic(), 0
    print("| what | cases | as it must be |\n|---|---|---|", flush=True)
    for row in results(arguments, folder):
        wrong = len({problem.partition(":")[0] for problem in row.problems})
        print(f"| {row.what} | {row.cases} | {max(row.cases - wrong, 0)} |", flush=True)
        for problem in row.problems[:10]:
            print(f"  {problem}", file=sys.stderr, flush=True)
        bad += bool(row.problems)
    print(f"\n{time.monotonic() - start:.0f} s", flush=True)
    if bad:
        print(f"Logs and files are in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
