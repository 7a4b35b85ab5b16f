"""Honest timings on a shared machine: jobs in turn, medians, and a look at who else computes."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psutil
import torch

Parts = dict[str, float]

# Other programs may use this share of the CPU while a sample is taken, and no more.
IDLE_SHARE = 0.10


class Runs(NamedTuple):
    """The samples of one job.

    Attributes:
        samples: seconds by part, one entry a round.
        disturbed: how many of them were taken while other programs computed.
    """

    samples: list[Parts]
    disturbed: int


class Stopwatch:
    """Seconds between marks; waits for a GPU's queued work at each.

    Args:
        device: whose work is timed.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: Parts = {}
        self._last = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def mark(self, name: str) -> None:
        """Book the time since the last mark under ``name``."""
        now = self._now()
        self.parts[name] = self.parts.get(name, 0.0) + now - self._last
        self._last = now


def busy_share(seconds: float = 0.1) -> float:
    """Share of all CPUs, 0 to 1, that is in use while this process sleeps ``seconds``."""
    return psutil.cpu_percent(interval=seconds) / 100


def interleave(
    jobs: dict[str, Callable[[], Parts]],
    *,
    repeats: int,
    warmup: int,
    busy: Callable[[], float] = busy_share,
) -> dict[str, Runs]:
    """Run jobs in turn, so that a machine's drift meets all of them.

    A sample during which, just before or just after, other programs compute is taken again; a
    machine that never rests gets twice the rounds, and what is disturbed then is kept and counted.

    Args:
        jobs: by name; each returns the seconds of its parts.
        repeats: samples of each job.
        warmup: rounds before them that do not count.
        busy: share of the machine that others use now.
    """
    clean: dict[str, list[Parts]] = {name: [] for name in jobs}
    disturbed: dict[str, list[Parts]] = {name: [] for name in jobs}
    for _ in range(warmup):
        for job in jobs.values():
            job()
    for _ in range(2 * repeats):
        before = busy()
        for name, job in jobs.items():
            parts = job()
            after = busy()
            idle = max(before, after) <= IDLE_SHARE
            (clean if idle else disturbed)[name].append(parts)
            before = after
        if all(len(samples) >= repeats for samples in clean.values()):
            break
    runs = {}
    for name, samples in clean.items():
        missing = max(repeats - len(samples), 0)
        runs[name] = Runs((samples + disturbed[name][:missing])[:repeats], missing)
    return runs


def medians(samples: Sequence[Parts]) -> Parts:
    """Median of each part, and of the total."""
    parts = {name: statistics.median(run[name] for run in samples) for name in samples[0]}
    return {**parts, "total": statistics.median(sum(run.values()) for run in samples)}


def peak_memory(device: torch.device) -> float:
    """Largest memory so far in MiB: of the process on a CPU, of the allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
