"""A learnable scalar, one per FPN level (FCOS, Sec. 3.2)."""

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """Multiply a tensor of any shape by one learnable scalar.

    Args:
        init: the scalar's first value.
    """

    def __init__(self, init: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(init)))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times the scalar."""
        return x * self.scale
