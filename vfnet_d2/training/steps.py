r"""One training step, on any device: mixed precision and gradient accumulation.

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
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vfnet_d2.utils.errors import first_line
from vfnet_d2.utils.precision import PRECISIONS
from vfnet_d2.utils.registry import lookup_name


def distribute(model: nn.Module, **options: Any) -> nn.Module:
    """Wrap a model for gradient averaging if there are several processes.

    Detectron2's ``create_ddp_model`` always names a GPU; a model on the CPU must not.

    Args:
        model: on its device already.
        options: of ``DistributedDataParallel``.
    """
    if comm.get_world_size() == 1:
        return model
    on_gpu = next(model.parameters()).is_cuda
    return DistributedDataParallel(
        model, device_ids=[comm.get_local_rank()] if on_gpu else None, **options
    )


def share_buffers(model: nn.Module) -> None:
    """Give all processes the first one's statistics of norms, which checkpoints hold.

    Each process gathers its own in training; an evaluation shared by them would be of several
    models otherwise, none of which but the first can be resumed.
    """
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


class FailedStep(NamedTuple):
    """A step that would have made the weights useless.

    Attributes:
        batches: of the step, in this process.
        losses: each batch's parts of the loss, (1,) each.
        wrong: what is not finite in this process, or "" if it is in another one alone.
        elsewhere: what is not finite in the other processes, by their number.
        error: of a forward pass that failed; some operations raise where a number is none.
    """

    batches: list[Any]
    losses: list[dict[str, Tensor]]
    wrong: str
    elsewhere: dict[int, str]
    error: Exception | None = None


class StepTrainer(SimpleTrainer):
    """Detectron2's step over one or several batches, in full or mixed precision.

    Args:
        model: to train.
        data_loader: yields batches.
        optimizer: of the model's parameters.
        precision: "bfloat16" or "float16" runs the model under autocast, on CPUs too; float16
            scales its loss. None computes in full precision.
        accumulate: batches of a step.
        after_backward: called once a step when the gradients are there, unscaled.
        not_finite: called, in all processes, instead of the optimizer's step if a loss or gradient
            is not finite; the step is left out if it returns. None raises FloatingPointError.

    Raises:
        ValueError: unknown precision, or no batch in a step.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Any,
        optimizer: Any,
        *,
        precision: str | None = None,
        accumulate: int = 1,
        after_backward: Callable[[], object] | None = None,
        not_finite: Callable[[FailedStep], object] | None = None,
    ) -> None:
        super().__init__(model, data_loader, optimizer)
        if accumulate < 1:
            raise ValueError(f"accumulate is {accumulate}; a step has at least 1 batch")
        self.accumulate = accumulate
        self.dtype = None
        if precision is not None:
            self.dtype = lookup_name(PRECISIONS, precision, key="AMP precision")
        self.device_type = next(model.parameters()).device.type
        self.grad_scaler = torch.amp.GradScaler(
            self.device_type, enabled=self.dtype is torch.float16
        )
        self._after_backward = after_backward
        self._not_finite = not_finite

    def run_step(self) -> None:
        """Forward and backward for every batch, then one step with the mean of the gradients.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        assert self.model.training
        self.optimizer.zero_grad()
        data_time = 0.0
        means: dict[str, Tensor] = {}
        batches: list[Any] = []
        parts: list[dict[str, Tensor]] = []
        for index in range(self.accumulate):
            start = time.perf_counter()
            data = next(self._data_loader_iter)
            data_time += time.perf_counter() - start
            with self._synchronised(last=index == self.accumulate - 1):
                with torch.autocast(
                    self.device_type, dtype=self.dtype, enabled=self.dtype is not None
                ):
                    losses = self._forward(data, batches, parts)
                if not losses:
                    self.optimizer.zero_grad()
                    return
                total: Any = sum(losses.values()) / self.accumulate
                self.grad_scaler.scale(total).backward()
            batches.append(data)
            parts.append({name: loss.detach() for name, loss in losses.items()})
            for name, loss in losses.items():
                means[name] = means.get(name, 0) + loss.detach() / self.accumulate
        # Before anybody sees them: clipping needs the true gradients, and a fused optimizer would
        # otherwise divide by the scale only in its own kernel.
        self.grad_scaler.unscale_(self.optimizer)
        if self._failed(batches, parts):
            self.optimizer.zero_grad()
            self.grad_scaler.update()
            return
        if self._after_backward is not None:
            self._after_backward()
        self._write_metrics(means, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _forward(
        self, data: Any, batches: list[Any], parts: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return the losses of a batch; none if its failure is to be left out."""
        try:
            return self.model(data)  # type: ignore[no-any-return]
        except Exception as error:
            if self._not_finite is None:
                raise
            wrong = f"the forward pass failed ({first_line(error)[:200]})"
            self._not_finite(FailedStep([*batches, data], parts, wrong, {}, error))
            return {}

    def _failed(self, batches: list[Any], parts: list[dict[str, Tensor]]) -> bool:
        """Whether the step is left out, in all processes alike, because it is not finite."""
        wrong = comm.all_gather(self._wrong(parts))
        if not any(wrong):
            return False
        here = comm.get_rank()
        elsewhere = {rank: text for rank, text in enumerate(wrong) if text and rank != here}
        step = FailedStep(batches, parts, wrong[here], elsewhere)
        if self._not_finite is None:
            raise FloatingPointError("; ".join(filter(None, wrong)))
        self._not_finite(step)
        return True

    def _wrong(self, parts: list[dict[str, Tensor]]) -> str:
        """Return what is not finite, or ""; one wait for the device."""
        losses = torch.stack([loss.float() for part in parts for loss in part.values()])
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        # Gradients of a scaled loss may overflow: the scaler leaves such steps out by itself.
        norms = [] if self.grad_scaler.is_enabled() else torch._foreach_norm(grads)
        total = torch.stack([losses.sum(), *(norm.float().sum() for norm in norms)])
        if bool(torch.isfinite(total).all()):
            return ""
        named = [name for part in parts for name, loss in part.items() if not loss.isfinite()]
        if named:
            return f"{', '.join(dict.fromkeys(named))} is not finite"
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                return f"the gradient of {name.removeprefix('module.')} is not finite"
        return ""

    def _synchronised(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Average gradients over the processes once a step, with its last batch."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()

    def state_dict(self) -> dict[str, Any]:
        """Add the loss scale to what a checkpoint holds."""
        return {**super().state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore, also from a run of another precision."""
        super().load_state_dict(state_dict)
        # Full precision and bfloat16 have an empty loss scale, or none; a scaler refuses both.
        if state_dict.get("grad_scaler") and self.grad_scaler.is_enabled():
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
