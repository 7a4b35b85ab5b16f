"""How feature maps lie in memory: channel by channel, or all channels of a cell together."""

import torch
from torch import Tensor

# By type of device. oneDNN's convolutions need not reorder maps that lie channels last; nothing
# was measured on other devices, whose maps stay as PyTorch makes them.
MEMORY_FORMATS = {"cpu": torch.channels_last}


def lay_out(x: Tensor) -> Tensor:
    """Lay a batch of images out as its device likes it; convolutions that read it keep the format.

    Args:
        x: (N, C, H, W).

    Returns:
        the same values.
    """
    memory_format = MEMORY_FORMATS.get(x.device.type, torch.contiguous_format)
    return x.contiguous(memory_format=memory_format)
