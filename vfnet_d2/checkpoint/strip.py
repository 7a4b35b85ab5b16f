"""Checkpoints for sharing: the model's weights without the state of its training."""

import os
from pathlib import Path

import torch


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
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.part")
    try:
        torch.save({"model": weights}, scratch)
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    return target.stat().st_size
