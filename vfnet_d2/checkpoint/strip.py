"""Checkpoints for sharing: the model's weights without the state of its training."""

import os
from pathlib import Path

import torch

from vfnet_d2.checkpoint.files import write_whole
from vfnet_d2.checkpoint.metadata import ENTRY


def strip_checkpoint(source: str | Path, target: str | Path) -> int:
    """Write the weights of a training checkpoint alone, whole or not at all.

    Args:
        source: a ``.pth`` file that Detectron2's checkpointer wrote.
        target: file to write.

    Returns:
        size of ``target`` in bytes.

    Raises:
        FileNotFoundError: no such source.
        ValueError: the file holds no model.
    """
    if not os.path.isfile(source):
        raise FileNotFoundError(f"checkpoint {source} does not exist")
    checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise ValueError(f"{source} has no entry 'model': it is no checkpoint of a Detectron2 run")
    # Views of a larger storage would be saved with all of it.
    weights = {name: value.clone() for name, value in checkpoint["model"].items()}
    content = {"model": weights}
    if ENTRY in checkpoint:  # what a converted file says about itself
        content[ENTRY] = checkpoint[ENTRY]
    write_whole(target, lambda path: torch.save(content, path))
    return Path(target).stat().st_size
