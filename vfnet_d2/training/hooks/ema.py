"""Exponential moving average (EMA) of the weights in training."""

from collections.abc import Callable, Sequence

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def ema_decay(updates: Tensor | int, *, decay: float) -> Tensor:
    """Return the share of the average that stays in an update.

    It grows with the number of updates n, as (1 + n) / (10 + n): the first weights, which know
    nothing yet, are soon forgotten, and a short training is averaged over its last part.

    Args:
        updates: number of updates before this one, scalar.
        decay: largest share.
    """
    done = torch.as_tensor(updates)
    return ((1 + done) / (10 + done)).clamp(max=decay)


def averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return a function that updates averages in place, for ``AveragedModel``'s ``multi_avg_fn``.

    Args:
        decay: see :func:`ema_decay`.
    """

    @torch.no_grad()
    def update(
        averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int
    ) -> None:
        rate = 1 - ema_decay(updates, decay=decay)
        for average, value in zip(averaged, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, rate.to(average.dtype))
            else:  # counters cannot be averaged
                average.copy_(value)

    return update


def averaged_model(model: nn.Module, *, decay: float) -> AveragedModel:
    """Return an average of a model's weights and buffers that has seen nothing yet.

    Args:
        model: without wrappers, on its device; its weights are taken at the first update.
        decay: see :func:`ema_decay`.
    """
    return AveragedModel(model, multi_avg_fn=averaging(decay), use_buffers=True)


class EmaUpdate(HookBase):
    """Updates the average after every step.

    Args:
        ema: of :func:`averaged_model`.
        model: in training, without wrappers.
    """

    def __init__(self, ema: AveragedModel, model: nn.Module) -> None:
        self._ema = ema
        self._model = model

    def after_step(self) -> None:
        """Take the new weights into the average."""
        self._ema.update_parameters(self._model)
