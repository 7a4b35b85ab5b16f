"""Loading weights with a check that they belong to the model."""

import os
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class CheckedCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, which refuses a file that fits no parameter of the model.

    Detectron2 warns about names that do not match and goes on; training would start from nothing.
    """

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint.

        Args:
            path: file or URL that Detectron2's ``PathManager`` understands; "" loads nothing.
            args: see Detectron2.
            kwargs: see Detectron2.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no parameter of the model is in the file, with its shape.
        """
        if path and "://" not in path and not os.path.isfile(path.partition("?")[0]):
            raise FileNotFoundError(
                f"checkpoint {path} does not exist; set MODEL.WEIGHTS (YAML) or "
                'train.init_checkpoint (LazyConfig) to a file, or to "" to start from nothing'
            )
        return super().load(path, *args, **kwargs)

    def load_for_evaluation(self, path: str, *, resume: bool = False) -> dict[str, Any]:
        """Load weights that must exist: an evaluation of random weights helps nobody.

        Args:
            path: of the weights.
            resume: prefer the last checkpoint of the output folder, if there is one.

        Raises:
            ValueError: there is nothing to load, or it does not fit.
            FileNotFoundError: no such file.
        """
        if not path and not (resume and self.has_checkpoint()):
            raise ValueError(
                "evaluation and prediction need trained weights: set MODEL.WEIGHTS (YAML) or "
                "train.init_checkpoint (LazyConfig), or --resume with the output folder of a run"
            )
        return self.resume_or_load(path, resume=resume)

    def _load_model(self, checkpoint: Any) -> Any:
        found = list(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        model = self.model.module if isinstance(self.model, DistributedDataParallel) else self.model
        check_matches(model, found, incompatible)
        return incompatible


def check_matches(model: nn.Module, found: list[str], incompatible: Any) -> None:
    """Raise ValueError when not one parameter of the model was filled.

    Args:
        model: the model that was loaded into.
        found: names in the file.
        incompatible: fvcore's result of loading.
    """
    expected = [name for name, _ in model.named_parameters()]
    mismatched = {name for name, *_ in incompatible.incorrect_shapes}
    unfilled = set(incompatible.missing_keys) | mismatched
    if expected and all(name in unfilled for name in expected):
        raise ValueError(
            f"the checkpoint fits no parameter of {type(model).__name__}: expected names such as "
            f"{expected[:3]}, found {found[:3]} ({len(found)} entries"
            + (f", {len(mismatched)} of another shape" if mismatched else "")
            + "). Is it a checkpoint of another architecture or project?"
        )
