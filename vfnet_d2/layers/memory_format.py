"""How feature maps lie in memory: channel by channel, or all channels of a cell together."""

import torch
from torch import Tensor

MEMORY_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def check_memory_format(name: str) -> str:
    """Return the name of a memory format, or "auto".

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    known = ("auto", *MEMORY_FORMATS)
    if name not in known:
        raise ValueError(
            f"memory_format (MODEL.ONE_STAGE.MEMORY_FORMAT) is {name!r}; choose one of {known}"
        )
    return name


def lay_out(x: Tensor, memory_format: str) -> Tensor:
    """Lay a batch of images out in memory; the convolutions that read it keep the format.

    Args:
        x: (N, C, H, W).
        memory_format: a name in ``MEMORY_FORMATS``, or "auto": channels last on CPUs, whose
            convolutions then need not reorder their inputs and outputs, contiguous elsewhere.

    Returns:
        the same values.
    """
    if memory_format == "auto":
        memory_format = "channels_last" if x.device.type == "cpu" else "contiguous"
    return x.contiguous(memory_format=MEMORY_FORMATS[memory_format])
