"""Where a training is ended, and how.

What is patched in a forked process only kills, or writes down the batches that were trained on.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR1
from typing import Any, NamedTuple

import torch
from detectron2.engine import HookBase

from vfnet_d2.finetune import job as finetune_job
from vfnet_d2.training.loading.loader import TrainingLoader
from vfnet_d2.training.trainer import Trainer

BATCHES = "batches.jsonl"


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
