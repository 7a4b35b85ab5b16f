"""Bounds for comparisons of rounded numbers, derived from the numbers and the arithmetic.

Kernels differ in the order of additions between CPUs (SSE4, AVX2, AVX-512), numbers of threads
and memory formats. A comparison in float64 does not see that; where it is of
float32 by its nature, these count the roundings.
"""

import numpy as np
import torch
from torch import Tensor


def epsilon(dtype: torch.dtype = torch.float32) -> float:
    """Return the relative spacing of a type's numbers; one rounding is wrong by half of it."""
    return torch.finfo(dtype).eps


def ulp(values: Tensor | float, dtype: torch.dtype = torch.float32) -> float:
    """Return the spacing of ``dtype``'s numbers at the largest magnitude of ``values``.

    >>> ulp(200.0) == 2.0**-16  # float32 has 24 bits; 200 is in [2**7, 2**8)
    True
    """
    largest = torch.as_tensor(values, dtype=torch.float64).detach().abs().max().item()
    exponent = torch.frexp(torch.tensor(largest, dtype=torch.float64)).exponent.item()
    return epsilon(dtype) * 2.0 ** (exponent - 1)


def in_float64(stored: np.ndarray) -> Tensor:
    """Widen stored float32 numbers.

    What is computed from them differs from the stored results by the reference's own rounding
    alone, which is the same on every machine; bounds beside such comparisons hold that much.
    """
    return torch.from_numpy(stored).double()
