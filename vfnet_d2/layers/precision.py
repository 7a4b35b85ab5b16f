"""Where half precision is not enough."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if it is in half precision, else as it is (float64 stays)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
