"""Starting from a checkpoint of other classes: its classifier is made anew."""

import logging
from collections.abc import Sequence
from typing import Any

from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.convert.pairs import COUNTER
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.modeling.detector import is_detector

logger = logging.getLogger(__name__)

_SHOWN = 4  # names listed before the rest is only counted


class FineTuneCheckpointer(CheckedCheckpointer):
    """CheckedCheckpointer that can start a training from weights of other classes.

    Args:
        model: to load into.
        save_dir: output folder of the training.
        class_names: K names, in the order of the model's outputs.
        checkpointables: see Detectron2.

    Raises:
        CheckpointError: the model does not say which of its layers depend on the classes.
    """

    def __init__(
        self, model: nn.Module, save_dir: str, *, class_names: Sequence[str], **checkpointables: Any
    ) -> None:
        super().__init__(model, save_dir, **checkpointables)
        # Without the wrapper of a distributed training.
        detector = self.model
        if not is_detector(detector):
            raise CheckpointError(
                f"the model is of class {type(detector).__name__}, which does not say which of "
                "its layers depend on the classes: fine-tuning needs a detector of "
                "vfnet_d2.modeling.detector's protocol"
            )
        self._classifiers = detector.classifiers()
        self._class_names = list(class_names)
        self._starting_path: str | None = None

    def start_from(self, path: str) -> None:
        """Load the weights of a file, but not the classifier of other classes, and log both.

        Without a path, nothing is loaded.

        Args:
            path: as for :meth:`load`.

        Raises:
            FileNotFoundError: no such file.
            CheckpointError: it cannot be read, or does not belong to the model.
        """
        if not path:
            logger.info("No weights are given: the whole model starts from nothing")
            return
        self._starting_path = path
        try:
            self.load(path, checkpointables=[])
        finally:
            self._starting_path = None

    def _load_model(self, checkpoint: Any) -> Any:
        path = self._starting_path
        if path is None:
            return super()._load_model(checkpoint)
        reason = self._reason_to_drop(checkpoint, path)
        if reason:
            layers = tuple(f"{layer}." for layer in self._classifiers)
            for name in [name for name in checkpoint["model"] if name.startswith(layers)]:
                del checkpoint["model"][name]
            if ENTRY in checkpoint:
                checkpoint[ENTRY] = {**checkpoint[ENTRY], "classifier_dropped": True}
        incompatible = super()._load_model(checkpoint)
        fresh = [name for name in self._missing if not name.endswith(COUNTER)]
        total = sum(not name.endswith(COUNTER) for name in self.model.state_dict())
        logger.info(
            "%s: %d of %d tensors loaded%s%s",
            path,
            total - len(fresh),
            total,
            f"; these start afresh: {_listed(fresh)}" if fresh else "",
            f". The classifier, {_listed(list(self._classifiers))}, does because {reason}"
            if reason
            else "",
        )
        # That line has told it.
        incompatible.missing_keys.clear()
        return incompatible

    def _reason_to_drop(self, checkpoint: Any, path: str) -> str:
        """Why a file's classifier is not that of the model's classes, or ""."""
        rows = {
            layer: len(checkpoint["model"][f"{layer}.weight"])
            for layer in self._classifiers
            if f"{layer}.weight" in checkpoint["model"]
        }
        if not rows:
            return ""
        ours = self._class_names
        theirs = _names_in(checkpoint, path)
        if theirs is not None and theirs != ours:
            return f"the file's classes are {_listed(theirs)}, and the data's {_listed(ours)}"
        layer = next(iter(rows))
        number = rows[layer] // self._classifiers[layer]
        if theirs is None and number != len(ours):
            return f"the file has {number} classes, and the data {len(ours)}"
        if theirs is None:
            logger.info(
                "The file names no classes. It has %d, as the data has; they are taken to be "
                "the same, in the same order: %s",
                len(ours),
                _listed(ours),
            )
        return ""


def _names_in(checkpoint: Any, path: str) -> list[str] | None:
    """The class names that a checkpoint tells, unless they only count."""
    if ENTRY not in checkpoint:
        return None
    names = Metadata.from_dict(checkpoint[ENTRY], path).class_names
    return None if names == [str(index) for index in range(len(names or []))] else names


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
