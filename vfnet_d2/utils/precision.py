"""Mixed precision: its names, and where it pays."""

from collections.abc import Mapping
from typing import Any

import torch

# By the names of config keys; those of command lines are in choices.py.
PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# What processors that multiply bfloat16 themselves call it.
_BFLOAT16 = ("amx_bf16", "avx512_bf16")


def cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU does, as far as torch can tell; others emulate it."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _BFLOAT16)
