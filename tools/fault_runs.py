"""Small trainings that are killed, warned or interrupted at a chosen point, and then resumed.

Each runs in a forked process, so that a kill is a real one and PyTorch is imported once.
"""

import functools
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from fault_points import BATCHES, Point, watch
from fault_starts import start
from PIL import Image

from vfnet_d2.training.launch import create_local_process_group

# The same options in the three ways to start a training: TRAINING keys, SOLVER.AMP, workers.
MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "EMA": {"ema": True},
    "accumulation 2": {"accumulate": 2},
    "bfloat16": {"amp": "bfloat16"},
    "2 workers": {"workers": 2},
    "2 processes": {"processes": 2},
    "float16": {"amp": "float16"},
}
SYSTEMS = ("YAML", "LazyConfig", "vfnet train")


def write_data(folder: Path) -> None:
    """Write training and validation images, wide and high, with a box or two each."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3)):
        images: list[dict[str, Any]] = []
        boxes: list[dict[str, Any]] = []
        (folder / split).mkdir(parents=True)
        for index in range(count):
            width, height = (128, 96) if generator.random() < 0.5 else (96, 128)
            pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{index}.png")
            images.append(
                {"id": index, "file_name": f"{index}.png", "width": width, "height": height}
            )
            for _ in range(1 + index % 2):
                side = int(generator.integers(30, 60))
                box = [*generator.integers(0, 30, 2).tolist(), side, side]
                boxes.append({"id": len(boxes) + 1, "image_id": index, "bbox": box, "iscrowd": 0})
                boxes[-1] |= {"category_id": 1 + index % 5, "area": side * side}
        classes = [{"id": n + 1, "name": name} for n, name in enumerate("abcde")]
        content = {"images": images, "annotations": boxes, "categories": classes}
        (folder / split / "annotations.json").write_text(json.dumps(content))


def forked(work: Callable[[], object], log: Path) -> int:
    """Run a function in a process of its own; return its status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            work()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(
    system: str,
    mode: str,
    data: Path,
    output: Path,
    *,
    resume: bool,
    point: Point | None = None,
    log: Path | None = None,
) -> int:
    """Train in forked processes; return the status of the first that did not end well, or 0.

    Args:
        system: of SYSTEMS.
        mode: of MODES.
        data: of :func:`write_data`.
        output: folder of the training.
        resume: go on where it was ended.
        point: where it is ended.
        log: what it prints; None is ``run.log`` in the output folder.
    """
    options = MODES[mode]
    processes = options.get("processes", 1)

    def work(rank: int = 0) -> None:
        torch.set_num_threads(1)
        os.chdir(output.parent)
        watch(output / BATCHES if rank == 0 else None, point)
        if processes > 1:
            join(rank, processes, output)
        start(system, options, data, output, resume=resume)

    if processes == 1:
        return forked(work, log or output / "run.log")
    (output / "rendezvous").unlink(missing_ok=True)
    others = [
        _background(functools.partial(work, rank), output / f"run_{rank}.log")
        for rank in range(1, processes)
    ]
    first = forked(work, output / "run.log")
    statuses = [first, *(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in others)]
    return next((status for status in statuses if status), 0)


def _background(work: Callable[[], object], log: Path) -> int:
    child = os.fork()
    if child == 0:
        # The grandchild's status is the child's.
        status = forked(work, log)
        if status < 0:
            os.kill(os.getpid(), -status)
        os._exit(status)
    return child


def join(rank: int, processes: int, output: Path) -> None:
    """Let this process be one of several."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    url = f"file://{output / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=url, rank=rank, world_size=processes)
    create_local_process_group(processes)
