"""Choosing the fastest of several equal implementations by timing them on the device."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def time_passes(
    function: Callable[..., Tensor], arguments: Sequence[Tensor], device_type: str
) -> float:
    """Seconds of the faster of three forward and backward passes.

    Args:
        function: what is timed.
        arguments: its inputs, on the device, those with gradients marked so.
        device_type: "cpu", "cuda", ...
    """
    best = float("inf")
    with torch.enable_grad(), torch.autocast(device_type, enabled=False):
        for _ in range(3):
            _synchronize(device_type)
            start = time.perf_counter()
            function(*arguments).sum().backward()
            _synchronize(device_type)
            best = min(best, time.perf_counter() - start)
    return best


def choose_fastest(what: str, seconds: Mapping[str, float], device_type: str) -> str:
    """Return the name with the smallest time, and log all of them.

    Args:
        what: is chosen, for the log.
        seconds: by name.
        device_type: likewise.
    """
    best = min(seconds, key=seconds.__getitem__)
    figures = ", ".join(f"{name} {1000 * s:.1f} ms" for name, s in seconds.items())
    logger.info("%s on %s: %s; using %s.", what, device_type, figures, best)
    return best


def _synchronize(device_type: str) -> None:
    """Wait for queued work, so that a timing covers it."""
    if device_type == "cuda":
        torch.cuda.synchronize()
