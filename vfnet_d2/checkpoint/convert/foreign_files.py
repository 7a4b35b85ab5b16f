"""Files for other projects, with what these look for beside the tensors."""

from pathlib import Path

import torch
from torch import Tensor

from vfnet_d2.checkpoint.convert.chensnathan import with_zero_biases
from vfnet_d2.checkpoint.convert.pairs import CHENSNATHAN
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.utils.files import write_whole


def write_foreign(
    target: str | Path, state: dict[str, Tensor], metadata: Metadata, *, style: str
) -> None:
    """Write a file as another project reads it, whole or not at all.

    Args:
        target: ``.pth``.
        state: tensors by that project's names, without what ours have no counterpart of.
        metadata: of the file that they come from.
        style: "mmdet" or "chensnathan".
    """
    state = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    content = _detectron2(state, metadata) if style == CHENSNATHAN else _mmdet(state, metadata)
    write_whole(target, lambda path: torch.save(content, path))


def _mmdet(state: dict[str, Tensor], metadata: Metadata) -> dict[str, object]:
    """Both generations of mmdet find their class names."""
    meta: dict[str, object] = {ENTRY: metadata.as_dict()}
    if metadata.class_names:
        meta["CLASSES"] = tuple(metadata.class_names)
        meta["dataset_meta"] = {"classes": tuple(metadata.class_names)}
    return {"meta": meta, "state_dict": state}


def _detectron2(state: dict[str, Tensor], metadata: Metadata) -> dict[str, object]:
    """That project keeps the preprocessing in its state, as Detectron2 did."""
    convention = metadata.input_convention
    pixels = {
        name: torch.tensor(values).view(-1, 1, 1)
        for name, values in (
            ("pixel_mean", convention.pixel_mean),
            ("pixel_std", convention.pixel_std),
        )
    }
    return {"model": {**pixels, **with_zero_biases(state)}, ENTRY: metadata.as_dict()}
