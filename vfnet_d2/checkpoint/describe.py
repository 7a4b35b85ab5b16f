"""What a checkpoint file tells about itself before any model is built."""

from pathlib import Path
from typing import Any

from torch import Tensor

from vfnet_d2.checkpoint.checkpointer import DETECTRON2_SUFFIXES
from vfnet_d2.checkpoint.convert.architecture import architecture_of, foreign_project, shapes_of
from vfnet_d2.checkpoint.convert.shipped import configs_for
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import contents_of, read_file
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata

HOW_TO_NAME_A_CONFIG = "Predictor(weights, config=FILE_OR_NAME), or --config-file FILE_OR_NAME"


def read_metadata(weights: str | Path) -> tuple[Metadata | None, dict[str, Tensor]]:
    """Read what a checkpoint says about itself, and its tensors; of Detectron2's files nothing.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it cannot be read, or has another project's names.
    """
    if str(weights).endswith(DETECTRON2_SUFFIXES):
        return None, {}
    contents = contents_of(read_file(weights), weights)
    project = foreign_project(shapes_of(contents.state))
    if project is not None:
        raise CheckpointError(
            f"{weights} is a checkpoint of {project}. Convert it once, then use the result: "
            f"tools/convert_checkpoint.py {weights} OUT.pth"
        )
    entry = contents.rest.get(ENTRY)
    return None if entry is None else Metadata.from_dict(entry, weights), contents.state


def without_config(weights: str | Path, state: dict[str, Any]) -> str:
    """Return a message that says which config to pass for a checkpoint without metadata."""
    try:
        fitting = configs_for(architecture_of(shapes_of(state)).name)
    except CheckpointError:
        fitting = []
    found = f" Its tensors fit these shipped ones: {', '.join(fitting)}." if fitting else ""
    return (
        f"{weights} does not say which config it belongs to. Pass the one it was trained with, as "
        f"a file or a name such as quick/vfnet_shapes: {HOW_TO_NAME_A_CONFIG}.{found}"
    )
