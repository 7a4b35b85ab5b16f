"""One training step: distribution and mixed precision on any device."""

import time
from typing import Any

import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

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


class AutocastTrainer(SimpleTrainer):
    """Detectron2's step under autocast, on the CPU as well; float16 scales its loss.

    Args:
        model: to train.
        data_loader: yields batches.
        optimizer: of the model's parameters.
        precision: "bfloat16" or "float16".

    Raises:
        ValueError: unknown precision.
    """

    def __init__(
        self, model: nn.Module, data_loader: Any, optimizer: Any, *, precision: str
    ) -> None:
        super().__init__(model, data_loader, optimizer)
        self.dtype = lookup_name(PRECISIONS, precision, key="AMP precision")
        self.device_type = next(model.parameters()).device.type
        self.grad_scaler = torch.amp.GradScaler(
            self.device_type, enabled=self.dtype is torch.float16
        )

    def run_step(self) -> None:
        """Forward under autocast, backward, step."""
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        with torch.autocast(self.device_type, dtype=self.dtype):
            losses = self.model(data)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self._write_metrics(losses, data_time)
        # Before the optimizer sees them: clipping needs the true gradients, and a fused optimizer
        # would otherwise divide by the scale only in its own kernel.
        self.grad_scaler.unscale_(self.optimizer)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Add the loss scale to what a checkpoint holds."""
        return {**super().state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore, also from a run of another precision."""
        super().load_state_dict(state_dict)
        # Full precision writes no loss scale and bfloat16 an empty one; a scaler refuses both.
        if state_dict.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def make_step_trainer(
    model: nn.Module, data_loader: Any, optimizer: Any, *, amp: bool, precision: str
) -> SimpleTrainer:
    """Return the step trainer for full or mixed precision."""
    if amp:
        return AutocastTrainer(model, data_loader, optimizer, precision=precision)
    return SimpleTrainer(model, data_loader, optimizer)
