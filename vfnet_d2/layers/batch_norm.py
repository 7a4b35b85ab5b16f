"""Batch norm on stored statistics whose affine parameters still learn."""

from typing import Any

from torch import nn


class FixedStatsBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that always uses its running statistics and trains its weight and bias.

    The published models are fine-tuned this way: batches of two images per GPU are too small to
    estimate statistics from, but the affine parameters of stages 2-4 are trained. Detectron2's
    ``FrozenBatchNorm2d`` keeps those as buffers and so would not train them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.train()  # a new module would be in training mode until somebody sets one

    def train(self, mode: bool = True) -> "FixedStatsBatchNorm2d":
        """Ignore ``mode``: the layer stays in evaluation mode, so its statistics never move."""
        del mode
        return super().train(False)
