"""Checkpoints for sharing: the model's weights without the state of its training."""

from pathlib import Path

import torch

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import contents_of, read_file
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.utils.files import write_whole


def strip_checkpoint(source: str | Path, target: str | Path) -> int:
    """Write the weights of a training checkpoint alone, whole or not at all.

    Args:
        source: a ``.pth`` file that Detectron2's checkpointer wrote.
        target: file to write.

    Returns:
        size of ``target`` in bytes.

    Raises:
        FileNotFoundError: no such source.
        CheckpointError: the file cannot be read, or holds no model.
    """
    checkpoint = read_file(source)
    if "model" not in checkpoint:
        raise CheckpointError(
            f"{source} has no entry 'model': it is no checkpoint of a Detectron2 run"
        )
    # Views of a larger storage would be saved with all of it.
    weights = {name: x.clone() for name, x in contents_of(checkpoint, source).state.items()}
    content = {"model": weights}
    if ENTRY in checkpoint:  # what a converted file says about itself
        content[ENTRY] = checkpoint[ENTRY]
    write_whole(target, lambda path: torch.save(content, path))
    return Path(target).stat().st_size
