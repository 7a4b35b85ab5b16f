"""Small trainings that are killed, warned or interrupted at a chosen point, and then resumed.

Each runs in a forked process, so that a kill is a real one and PyTorch is imported once. What is
patched in there only kills, or writes down the batches that were trained on.
"""

import argparse
import functools
import json
import os
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR1
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from detectron2.engine import HookBase
from PIL import Image

from vfnet_d2.finetune import job as finetune_job
from vfnet_d2.finetune.data import TRAIN_NAME, VAL_NAME, find_training_data
from vfnet_d2.model_zoo import config_file
from vfnet_d2.training import from_lazy, from_yaml
from vfnet_d2.training.launch import create_local_process_group
from vfnet_d2.training.loading.loader import TrainingLoader
from vfnet_d2.training.trainer import Trainer

ITERATIONS, PERIOD = 6, 2
SIZES = (160, 192)
BATCHES = "batches.jsonl"

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


class Point(NamedTuple):
    """Where a training is ended.

    Attributes:
        event: "step", "evaluation" or "save".
        number: of the event, from 1.
        signal: that is sent then.
        status: what the process ends with; negative for a signal, as in ``subprocess``.
    """

    event: str
    number: int
    signal: int = SIGKILL
    status: int = -SIGKILL


POINTS = {
    "first": Point("step", 2),
    "mid": Point("step", 4),
    "validation": Point("evaluation", 2),
    "save": Point("save", 2),
    "last-1": Point("step", 6),
    "after the end": Point("evaluation", 3),
    "SIGTERM": Point("step", 4, SIGTERM, 143),
    "SIGINT": Point("step", 4, SIGINT, 130),
    "SIGUSR1": Point("step", 4, SIGUSR1, 138),
    "SIGTERM in validation": Point("evaluation", 2, SIGTERM, 143),
}


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


def start(system: str, options: dict[str, Any], data: Path, output: Path, *, resume: bool) -> None:
    """Start a training in the way of one of SYSTEMS."""
    train_set, val_set = (str(data / name / "annotations.json") for name in ("train", "val"))
    if system == "vfnet train":
        start_vfnet(options, train_set, val_set, output, resume=resume)
        return
    found = find_training_data(train_set, val=val_set, held_out=output / "held_out")
    found.register(cache=data / "cache")
    yaml = system == "YAML"
    keys = yaml_keys(options, output) if yaml else lazy_keys(options, output)
    opts = [text for pair in keys.items() for text in map(str, pair)]
    if not yaml:
        opts = [f"{key}={value}" for key, value in keys.items()]
    arguments = argparse.Namespace(
        config_file=config_file("quick/vfnet_shapes", suffix=".yaml" if yaml else ".py"),
        opts=opts,
        num_gpus=0,
        eval_only=False,
        resume=resume,
    )
    (from_yaml if yaml else from_lazy).run(arguments)


def yaml_keys(options: dict[str, Any], output: Path) -> dict[str, Any]:
    """Return the keys of a YAML config and their values."""
    keys = {
        "OUTPUT_DIR": output,
        "DATASETS.TRAIN": (TRAIN_NAME,),
        "DATASETS.TEST": (VAL_NAME,),
        **common_keys(options),
        "SOLVER.MAX_ITER": ITERATIONS,
        "SOLVER.IMS_PER_BATCH": 2,
        "TEST.EVAL_PERIOD": PERIOD,
        "TRAINING.KEEP_BEST": True,
        "TRAINING.EMA": options.get("ema", False),
        "TRAINING.ACCUMULATE": options.get("accumulate", 1),
    }
    if "amp" in options:
        keys |= {"SOLVER.AMP.ENABLED": True, "SOLVER.AMP.PRECISION": options["amp"]}
    return keys


def common_keys(options: dict[str, Any]) -> dict[str, Any]:
    """Return those that ``vfnet train`` is given too."""
    return {
        "DATALOADER.NUM_WORKERS": options.get("workers", 0),
        "SOLVER.CHECKPOINT_PERIOD": PERIOD,
        "INPUT.MIN_SIZE_TRAIN": SIZES,
        "INPUT.MIN_SIZE_TEST": 96,
        "MODEL.ONE_STAGE.SCORE_THRESH": 0.001,  # so that there is an AP after so few iterations
        "SEED": 3,
    }


def lazy_keys(options: dict[str, Any], output: Path) -> dict[str, Any]:
    """Return the keys of a LazyConfig and their values."""
    sizes = str(list(SIZES)).replace(" ", "")
    augmentations = "mapper.augmentations.0.short_edge_length"
    keys = {
        "train.output_dir": output,
        "dataloader.train.dataset.names": TRAIN_NAME,
        "dataloader.test.dataset.names": VAL_NAME,
        f"dataloader.train.{augmentations}": sizes,
        f"dataloader.test.{augmentations}": "[96,96]",
        "dataloader.train.num_workers": options.get("workers", 0),
        "dataloader.test.num_workers": options.get("workers", 0),
        "dataloader.train.total_batch_size": 2,
        "train.max_iter": ITERATIONS,
        "train.checkpointer.period": PERIOD,
        "train.eval_period": PERIOD,
        "train.seed": 3,
        "model.score_thresh": 0.001,
        "train.options.keep_best": True,
        "train.options.ema": options.get("ema", False),
        "train.options.accumulate": options.get("accumulate", 1),
    }
    if "amp" in options:
        keys |= {"train.amp.enabled": True, "train.amp.precision": options["amp"]}
    return keys


def start_vfnet(
    options: dict[str, Any], train_set: str, val_set: str, output: Path, *, resume: bool
) -> None:
    """Start ``vfnet train`` as its command line does."""
    from vfnet_d2.cli.main import main

    flags = ["--ema"] if options.get("ema") else []
    flags += ["--accumulate", str(options["accumulate"])] if "accumulate" in options else []
    if "amp" in options:
        flags += ["--amp", {"bfloat16": "bf16", "float16": "fp16"}[options["amp"]]]
    flags += ["--resume"] * resume
    keys = {**common_keys(options), "SOLVER.MAX_ITER": ITERATIONS}
    status = main(
        ["train", train_set, "--val", val_set, "--model", "quick/vfnet_shapes", *flags]
        + ["--batch-size", "2", "--eval-period", str(PERIOD), "--num-gpus", "0"]
        + ["--output", str(output), "--opts"]
        + [text for pair in keys.items() for text in map(str, pair)]
    )
    if status:
        raise SystemExit(status)


class Ender(HookBase):
    """Calls a function before each step."""

    def __init__(self, reached: Callable[[str], object]) -> None:
        self._reached = reached

    def before_step(self) -> None:
        """See HookBase."""
        self._reached("step")


def watch(batches: Path | None, point: Point | None) -> None:
    """Write down each batch, and end this process at the point; for a forked process alone.

    Args:
        batches: file to add lines to, or None.
        point: None ends nothing.
    """
    counts: dict[str, int] = {}

    def reached(event: str) -> bool:
        counts[event] = counts.get(event, 0) + 1
        if point is None or (event, counts[event]) != (point.event, point.number):
            return False
        if event != "save":
            os.kill(os.getpid(), point.signal)
        return True

    hooks_of, evaluate_of = Trainer.build_hooks, Trainer._evaluate
    save, batches_of = torch.save, TrainingLoader.__iter__

    def build_hooks(trainer: Trainer) -> list[HookBase]:
        return [Ender(reached), *hooks_of(trainer)]

    def evaluate(trainer: Trainer) -> Any:
        inner = trainer.parts.evaluate

        def then_evaluate(*args: Any) -> Any:
            reached("evaluation")
            return inner(*args)

        trainer.parts = trainer.parts._replace(evaluate=then_evaluate)
        try:
            return evaluate_of(trainer)
        finally:
            trainer.parts = trainer.parts._replace(evaluate=inner)

    def half(content: Any, path: Any, *args: Any) -> None:
        save(content, path, *args)
        if str(getattr(path, "name", "")).startswith("model_0") and reached("save"):
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), SIGKILL)

    def noted(loader: TrainingLoader) -> Iterator[Any]:
        for batch in batches_of(loader):
            if batches is not None:
                sums = [zlib.crc32(item["image"].numpy().tobytes()) for item in batch]
                with batches.open("a") as file:
                    file.write(json.dumps([loader.batches, sums]) + "\n")
            yield batch

    Trainer.build_hooks = build_hooks  # type: ignore[method-assign, assignment]
    Trainer._evaluate = evaluate  # type: ignore[method-assign, assignment]
    torch.save = half  # type: ignore[assignment]
    TrainingLoader.__iter__ = noted  # type: ignore[method-assign, assignment]
    finetune_job.bfloat16_is_left_out = lambda cfg: False


def differences(ours: Path, reference: Path) -> list[str]:
    """Return what differs between the results of two trainings, bit by bit."""
    found = []
    names = ("model_final.pth", "model_final_ema.pth", "model_best.pth")
    for name in names:
        if (ours / name).exists() != (reference / name).exists():
            found.append(f"{name} is in one of them alone")
        elif (ours / name).exists():
            pair = [torch.load(folder / name, weights_only=True) for folder in (ours, reference)]
            for content in pair:
                content.pop("vfnet_d2", None)  # has the output folder's name
            found += [f"{name}: {path}" for path in unequal(*pair)]
    if (ours / "validations.json").read_text() != (reference / "validations.json").read_text():
        found.append("validations.json")
    known = dict(map(json.loads, (reference / BATCHES).read_text().splitlines()))
    lines = list(map(json.loads, (ours / BATCHES).read_text().splitlines()))
    found += [f"batch {number}" for number, sums in lines if known.get(number) != sums]
    return found


def unequal(ours: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield where two nested structures differ, in type, keys or any bit of a number."""
    if type(ours) is not type(other):
        yield path
    elif isinstance(ours, torch.Tensor):
        if ours.dtype != other.dtype or not torch.equal(ours, other):
            yield path
    elif isinstance(ours, dict):
        if list(ours) != list(other):
            yield f"{path} (keys)"
            return
        for key, value in ours.items():
            yield from unequal(value, other[key], f"{path}/{key}")
    elif isinstance(ours, list | tuple):
        if len(ours) != len(other):
            yield f"{path} (length)"
        for number, pair in enumerate(zip(ours, other, strict=False)):
            yield from unequal(*pair, f"{path}/{number}")
    elif ours != other:
        yield path
