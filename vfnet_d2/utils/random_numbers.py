"""Random numbers of Python, NumPy and PyTorch that follow from given numbers, not from the past."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def numbers_of(*keys: int) -> tuple[int, int, int]:
    """Return independent seeds of Python, NumPy and PyTorch.

    Args:
        keys: not negative; other keys give other seeds.
    """
    python, numpy, high, low = np.random.SeedSequence(keys).generate_state(4).tolist()
    return python, numpy, (high << 31) ^ low


def seed_from(*keys: int) -> None:
    """Seed all generators, those of GPUs too; see :func:`numbers_of`."""
    python, numpy, torch_seed = numbers_of(*keys)
    random.seed(python)
    np.random.seed(numpy)
    torch.manual_seed(torch_seed)


@contextmanager
def drawn_from(*keys: int) -> Iterator[None]:
    """Seed the CPU's generators in a block, and put back what they were; see :func:`numbers_of`."""
    python, numpy, torch_seed = numbers_of(*keys)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(python)
    np.random.seed(numpy)
    torch.default_generator.manual_seed(torch_seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
