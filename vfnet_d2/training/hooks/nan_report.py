"""What is said, and kept, of a step whose loss or gradient is not finite."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import Tensor, nn

from vfnet_d2.training.steps import FailedStep
from vfnet_d2.utils.files import write_text, write_whole

logger = logging.getLogger(__name__)

FOLDER = "not_finite"
_ADVICE = (
    "Lower the learning rate, limit the gradients (TRAINING.CLIP_TOTAL_NORM, "
    "train.options.clip_total_norm or vfnet train --clip-norm), or leave out up to N such steps "
    "(TRAINING.SKIP_BAD_BATCHES, train.options.skip_bad_batches or --skip-bad-batches)"
)


class NanReport(HookBase):
    """Ends a training, or leaves out a step, that would make its weights useless.

    Args:
        model: without wrappers.
        optimizer: of the training, for the learning rate.
        output: folder of the training; reports go to its folder ``not_finite``.
        skip: steps that are left out; the next one ends the training.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, *, output: Path, skip: int
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._output = output
        self._skip = skip
        self.skipped = 0
        self._buffers: dict[str, Tensor] = {}

    def before_step(self) -> None:
        """Keep the statistics of norms, which the forward pass of a bad batch would spoil."""
        self._buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}

    def act(self, step: FailedStep) -> None:
        """Report a step; return if it is to be left out, in all processes alike.

        Raises:
            FloatingPointError: no more steps are left out.
        """
        with torch.no_grad():
            for name, buffer in self._model.named_buffers():
                buffer.copy_(self._buffers[name])
        self._model.zero_grad()
        first_layer = first_bad_layer(self._model, step.batches)
        if step.error is not None and first_layer is None:
            raise step.error
        # The other processes know nothing of a forward pass that failed, and wait for this one.
        alone = step.error is not None and comm.get_world_size() > 1
        ends = self.skipped >= self._skip or alone
        text = self._describe(step, first_layer or "none in the forward pass", save_all=ends)
        if ends:
            left_out = f" {self.skipped} steps before it were left out." if self.skipped else ""
            raise FloatingPointError(f"{text}.{left_out} {_ADVICE}") from step.error
        self.skipped += 1
        logger.warning("Left out step %d of at most %d: %s", self.skipped, self._skip, text)

    def _describe(self, step: FailedStep, first_layer: str, *, save_all: bool) -> str:
        """Return what happened, in one line, and write the report of this process."""
        where = f"Iteration {self.trainer.iter}"
        if not step.wrong:
            rank, wrong = next(iter(step.elsewhere.items()))
            return f"{where}: {wrong} in process {rank}, whose message says more"
        rates = sorted({float(group["lr"]) for group in self._optimizer.param_groups})
        report = {
            "iteration": self.trainer.iter,
            "process": comm.get_rank(),
            "wrong": step.wrong,
            "first_layer": first_layer,
            "learning_rates": rates,
            "losses": [
                {name: float(loss) for name, loss in losses.items()} for losses in step.losses
            ],
            "batches": [[_described(item) for item in batch] for batch in step.batches],
        }
        folder = self._save(report, step.batches, save_all=save_all)
        losses = "; ".join(
            ", ".join(f"{name} {loss:.4g}" for name, loss in parts.items())
            for parts in report["losses"]
        )
        files = [item["file_name"] for batch in report["batches"] for item in batch]
        return (
            f"{where}: {step.wrong} at learning rate {rates[-1]:g} ({losses}); "
            f"first layer whose output is not finite: {report['first_layer']}; images "
            f"{', '.join(map(str, files[:4]))}{' ...' if len(files) > 4 else ''}; all of it is "
            f"in {folder}"
        )

    def _save(self, report: dict[str, Any], batches: list[Any], *, save_all: bool) -> Path:
        """Write the report and the batches, and at the end of a training its weights."""
        rank = f"_process{report['process']}" if comm.get_world_size() > 1 else ""
        folder = self._output / FOLDER / f"iteration_{report['iteration']:07d}{rank}"
        # Python's JSON has NaN and Infinity, which are what is told here.
        write_text(folder / "report.json", json.dumps(report, indent=1))
        write_whole(folder / "batches.pth", lambda path: torch.save(_plain(batches), path))
        if save_all:
            weights = {"model": self._model.state_dict()}
            write_whole(folder / "weights.pth", lambda path: torch.save(weights, path))
        return folder

    def state_dict(self) -> dict[str, Any]:
        """Return how many steps were left out."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped = int(state["skipped"])


def first_bad_layer(model: nn.Module, batches: list[Any]) -> str | None:
    """Return the first weight, layer or loss that is not finite when batches run again.

    Args:
        model: in training; its statistics stay as they are.
        batches: of the step.
    """
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point() and not torch.isfinite(value).all():
            return f"none: the weight {name} itself is not"
    found: list[str] = []
    with _recording(model, found), torch.no_grad():
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        for batch in batches:
            with contextlib.suppress(Exception):  # as some layers raise when numbers are none
                model(batch)
            if found:
                break
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    return found[0] if found else None


@contextlib.contextmanager
def _recording(model: nn.Module, found: list[str]) -> Iterator[None]:
    """Append the names of modules in whose output something is not finite, innermost first."""

    def look(name: str, module: nn.Module, output: Any) -> None:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(output)):
            found.append(f"{name or 'the loss'} ({type(module).__name__})")

    handles = [
        module.register_forward_hook(
            lambda module, inputs, output, name=name: look(name, module, output)
        )
        for name, module in model.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _described(item: dict[str, Any]) -> dict[str, Any]:
    """Return file, size, boxes and classes of a model input."""
    plain = {name: item.get(name) for name in ("file_name", "image_id")}
    if "image" in item:
        plain["shape"] = list(item["image"].shape)
    if "instances" in item:
        plain["boxes"] = item["instances"].gt_boxes.tensor.tolist()
        plain["classes"] = item["instances"].gt_classes.tolist()
    return plain


def _plain(batches: list[Any]) -> list[list[dict[str, Any]]]:
    """Return batches as tensors and plain values, which are read without running code."""
    return [
        [
            {
                **_described(item),
                "image": item["image"].cpu(),
                **{name: item[name] for name in ("height", "width") if name in item},
            }
            for item in batch
        ]
        for batch in batches
    ]


def read_batches(folder: Path) -> list[list[dict[str, Any]]]:
    """Return the model inputs of a report, for ``model(batch)`` with the report's weights.

    Args:
        folder: of the report.
    """
    batches = torch.load(folder / "batches.pth", weights_only=True)
    for item in (item for batch in batches for item in batch):
        if "boxes" in item:
            instances = Instances(item["image"].shape[1:])
            instances.gt_boxes = Boxes(torch.tensor(item.pop("boxes")).reshape(-1, 4))
            instances.gt_classes = torch.tensor(item.pop("classes"), dtype=torch.long)
            item["instances"] = instances
    return batches
