"""Exponential moving average (EMA) of the weights in training."""

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

# Of a training of many thousand iterations; a short one never reaches it, see ema_decay.
DECAY = 0.9998


def ema_decay(updates: Tensor | int, *, decay: float = DECAY) -> Tensor:
    """Return the share of the average that stays in an update.

    It grows with the number of updates n, as (1 + n) / (10 + n): the first weights, which know
    nothing yet, are soon forgotten, and a short training is averaged over its last part.

    Args:
        updates: number of updates before this one, scalar.
        decay: largest share.
    """
    done = torch.as_tensor(updates)
    return ((1 + done) / (10 + done)).clamp(max=decay)


def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Return the new average of a tensor; counters, which cannot be averaged, are copied.

    Args:
        averaged: average so far.
        current: of the model, same shape.
        updates: number of updates before this one, scalar.
    """
    if not averaged.is_floating_point():
        return current
    return averaged + (1 - ema_decay(updates)).to(averaged.dtype) * (current - averaged)


def averaged_model(model: nn.Module) -> AveragedModel:
    """Return an average of a model's weights and buffers that has seen nothing yet.

    Args:
        model: without wrappers, on its device; its weights are taken at the first update.
    """
    return AveragedModel(model, avg_fn=average, use_buffers=True)


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
        with torch.no_grad():
            self._ema.update_parameters(self._model)
