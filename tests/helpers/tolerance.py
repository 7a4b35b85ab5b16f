"""Bounds for comparisons of rounded numbers, derived from the numbers and the arithmetic.

Kernels differ in the order of additions between CPUs (SSE4, AVX2, AVX-512), numbers of threads
and memory formats. Each function bounds what any order can give. Where that is too wide to catch a
mistake, the comparison belongs in float64 instead.
"""

from collections.abc import Callable
from typing import Any

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


def sum_error(terms: Tensor, dim: int | tuple[int, ...], dtype: torch.dtype = torch.float32) -> Any:
    """Return the bound of a sum's rounding in any order: (n - 1) half-epsilons of the magnitudes.

    Args:
        terms: what is added, in float64.
        dim: the dimensions summed over.
        dtype: in which the sum is computed.

    Returns:
        a tensor of the sum's shape; two sums of the same terms differ by at most twice that.
    """
    dims = (dim,) if isinstance(dim, int) else dim
    count = 1
    for d in dims:
        count *= terms.shape[d]
    return (count - 1) * epsilon(dtype) / 2 * terms.abs().sum(dim=dims)


def float32_noise(compute: Callable[..., Tensor], *args: Tensor) -> float:
    """Return the largest difference that rounding makes: ``compute`` in float32 and in float64.

    Args:
        compute: the oracle, not what is tested.
        args: in float32; a floating tensor is widened for the second run.
    """
    exact = compute(*(x.double() if x.is_floating_point() else x for x in args))
    return (compute(*args).double() - exact).abs().max().item()
