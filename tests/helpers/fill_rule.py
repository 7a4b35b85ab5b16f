"""The rule "crc32-v1": fill a network from the names of its parameters alone.

The reference data stores no weights. Whoever fills a network of the same names by this rule has
the network that the stored results belong to. Every tensor is drawn by a generator seeded with the
CRC-32 of its name, in one call, in float64, and rounded to float32. The first line that fits says
how; N is a standard normal draw, U a uniform one:

- integers                                        0
- ``*running_mean``                               0.02 N
- ``*running_var``                                U(0.8, 1.2)
- ``*scale`` with one element                     U(0.9, 1.1)
- vector ``*<classifier>.bias``                   -2 + 0.2 N
- vector ``*vfnet_reg.bias``                      -1 + 0.3 N
- vector or scalar ``*bias``                      0.02 N
- vector ``*weight`` (norms)                      U(0.8, 1.2)
- two dimensions or more                          0.7 sqrt(2 / inputs) N, a classifier's x 2.5
- the rest                                        0.02 N
"""

import math
import re
import zlib
from collections.abc import Sequence

import numpy as np

_CLASSIFIER = re.compile(
    r"(vfnet_cls|atss_cls|retina_cls|conv_cls|reppoints_cls_out|cls_score|cls_branches\.\d+)"
    r"\.(weight|bias)$"
)


def filled(
    name: str, shape: Sequence[int], *, integer: bool = False, factor: float = 1.0
) -> np.ndarray:
    """Return the values of the tensor of that name and shape: float32, or int64 zeros.

    Args:
        name: the tensor's name in the reference's own state dict.
        shape: its shape; () for a scalar.
        integer: whether it holds integers.
        factor: of the deviation of a tensor of two dimensions or more.
    """
    shape = tuple(shape)
    if integer:
        return np.zeros(shape, np.int64)
    random = np.random.RandomState(zlib.crc32(name.encode()))
    gain = factor * (2.5 if _CLASSIFIER.search(name) else 1.0)
    values = _drawn(random, name, shape, gain=gain)
    return np.asarray(values, np.float32).reshape(shape)


def _drawn(
    random: np.random.RandomState, name: str, shape: tuple[int, ...], *, gain: float
) -> np.ndarray:
    dimensions = len(shape)
    low_high = None
    if name.endswith("running_var") or (dimensions == 1 and name.endswith("weight")):
        low_high = (0.8, 1.2)
    elif name.endswith("scale") and math.prod(shape) == 1:
        low_high = (0.9, 1.1)
    if low_high:
        return random.uniform(*low_high, shape)
    mean, deviation = 0.0, 0.02
    if name.endswith("running_mean"):
        pass
    elif dimensions == 1 and name.endswith("bias") and _CLASSIFIER.search(name):
        mean, deviation = -2.0, 0.2
    elif dimensions == 1 and name.endswith("vfnet_reg.bias"):
        mean, deviation = -1.0, 0.3
    elif dimensions >= 2:
        deviation = 0.7 * gain * (2.0 / math.prod(shape[1:])) ** 0.5
    return mean + random.standard_normal(shape) * deviation
