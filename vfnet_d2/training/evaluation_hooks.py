"""What the main process does after each evaluation."""

from pathlib import Path

from detectron2.engine import HookBase
from torch import nn

from vfnet_d2.training.components import Components
from vfnet_d2.training.hooks.best_model import BestModel, ValidationHistory
from vfnet_d2.training.hooks.pictures import ValidationPictures


def acting_on_evaluations(
    parts: Components, history: ValidationHistory, *, model: nn.Module, best: Path
) -> list[HookBase]:
    """Return the hooks that the options ask for, in their order.

    Args:
        parts: of the training.
        history: of its validations.
        model: that is evaluated.
        best: file of the best weights.
    """
    options, period = parts.options, parts.eval_period
    found: list[HookBase] = []
    if options.keep_best or options.patience:
        path = best if options.keep_best else None
        found.append(
            BestModel(history, period=period, model=model, path=path, metadata=parts.metadata)
        )
    if options.pictures and parts.pictures is not None:
        found.append(ValidationPictures(parts.pictures, period=period, model=model))
    return found
