r"""Training steps of several batches: gradient accumulation, and clipping of the whole gradient.

What an accumulated step is equal to. The gradient of a step over n batches is the mean of the n
batches' gradients: equal to that of n processes with one batch each, but for the normalisers. The
losses of a batch are divided by its own positives (averaged over the processes, not over the
batches of a step), so a step of 2 x 2 images weights each pair of images alike, where a batch of 4
weights each positive alike. The two agree exactly where all batches of a step have the same
normalisers, of at least 1, which is the least that the detectors divide by. Batch norm, where it
learns, sees the small batches.

Averaging the normalisers over the step as well would need all forward passes before the first
backward pass, and with that the memory that accumulation is there to save.
"""

import contextlib
import time
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vfnet_d2.training.steps import AutocastTrainer


class AccumulatingTrainer(AutocastTrainer):
    """A step over several batches, in full or mixed precision.

    Args:
        model: to train.
        data_loader: yields batches.
        optimizer: of the model's parameters.
        accumulate: batches of a step.
        amp: run under autocast.
        precision: "bfloat16" or "float16", of autocast.

    Raises:
        ValueError: unknown precision, or no batch in a step.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Any,
        optimizer: Any,
        *,
        accumulate: int,
        amp: bool,
        precision: str,
    ) -> None:
        if accumulate < 1:
            raise ValueError(f"accumulate is {accumulate}; a step has at least 1 batch")
        super().__init__(model, data_loader, optimizer, precision=precision)
        self.accumulate = accumulate
        self.amp = amp
        if not amp:
            self.grad_scaler = torch.amp.GradScaler(self.device_type, enabled=False)

    def run_step(self) -> None:
        """Forward and backward for every batch, then one step with the mean of the gradients."""
        self.optimizer.zero_grad()
        data_time = 0.0
        sums: dict[str, torch.Tensor] = {}
        for index in range(self.accumulate):
            start = time.perf_counter()
            data = next(self._data_loader_iter)
            data_time += time.perf_counter() - start
            with self._synchronised(last=index == self.accumulate - 1):
                with torch.autocast(self.device_type, dtype=self.dtype, enabled=self.amp):
                    losses = self.model(data)
                total = sum(losses.values()) / self.accumulate
                self.grad_scaler.scale(total).backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / self.accumulate
        self._write_metrics(sums, data_time)
        # Before the optimizer sees them: clipping needs the true gradients.
        self.grad_scaler.unscale_(self.optimizer)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _synchronised(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Average gradients over the processes once a step, with its last batch."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()


def clip_total_norm(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Make an optimizer scale the gradient of all parameters together down to a norm.

    Detectron2's own clipping treats each parameter by itself, which turns the gradient.

    Args:
        optimizer: changed in place.
        max_norm: largest Euclidean norm of the whole gradient.

    Raises:
        ValueError: the norm is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"the largest norm of the gradient is {max_norm}; it must be above 0")

    def clip(stepping: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        del args, kwargs
        parameters = [p for group in stepping.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)

    optimizer.register_step_pre_hook(clip)
