"""What the machine has: devices."""

import logging

import torch

logger = logging.getLogger(__name__)


def available_device(wanted: str) -> str:
    """Return ``wanted``, or "cpu" with a warning where it asks for CUDA and there is none."""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("No CUDA device is available: running on the CPU instead of %r.", wanted)
        return "cpu"
    return wanted


def default_device() -> str:
    """Return "cuda" where there is a GPU, else "cpu": for callers whom nobody told a device."""
    return "cuda" if torch.cuda.is_available() else "cpu"
