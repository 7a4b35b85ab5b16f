"""Evaluations of a training: their history, and the weights of the best one."""

import json
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.checkpoint.saving import check_finite, explained
from vfnet_d2.training.components import box_ap
from vfnet_d2.training.hooks.after_evaluation import AfterEvaluation
from vfnet_d2.utils.files import replacing, write_whole

logger = logging.getLogger(__name__)


class Validation(NamedTuple):
    """One validation.

    Attributes:
        iterations: that were done before it.
        ap: COCO's AP in percent, or None where there was none, as without any detection.
    """

    iterations: int
    ap: float | None


class ValidationHistory:
    """All validations of a training, in a file that is always whole.

    A file of its own, because checkpoints are written before the validation of their weights.

    Args:
        path: JSON file, written by :meth:`add`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: list[Validation] = []

    def read(self, *, iterations: int) -> None:
        """Take up the file's validations, as a resumed training must, if there is a file.

        Args:
            iterations: done so far; later validations are forgotten, as their weights are.

        Raises:
            ValueError: it is no such file.
        """
        if not self._path.exists():
            return
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            entries = [Validation(**entry) for entry in content]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self._path} is not the history of a training's validations ({error}); delete "
                "it to go on without"
            ) from error
        self.entries = [entry for entry in entries if entry.iterations <= iterations]

    def add(self, iterations: int, ap: float) -> bool:
        """Add a validation and write the file; return whether it is the best so far.

        Args:
            iterations: that were done before it.
            ap: in percent; NaN where there is none.
        """
        is_best = self.is_best(ap)
        self.entries = [entry for entry in self.entries if entry.iterations != iterations]
        self.entries.append(Validation(iterations, None if math.isnan(ap) else ap))
        with replacing(self._path) as scratch:
            content = [entry._asdict() for entry in self.entries]
            scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return is_best

    def is_best(self, ap: float) -> bool:
        """Whether an AP, which may be NaN, is higher than all so far."""
        best = self.best
        return not math.isnan(ap) and (best is None or ap > (best.ap or 0.0))

    @property
    def best(self) -> Validation | None:
        """The first of the validations with the highest AP; None without any AP."""
        known = [entry for entry in self.entries if entry.ap is not None]
        return max(known, key=lambda entry: entry.ap or 0.0, default=None)

    @property
    def since_best(self) -> int:
        """Validations after the best one; all of them where none has an AP."""
        best = self.best
        return len(self.entries) - (self.entries.index(best) + 1 if best else 0)

    def summary(self, *, best: Path, last: Path) -> str:
        """Return the line that ends a training.

        Args:
            best: file of the best weights.
            last: file of the last ones.
        """
        found = self.best
        if found is None:
            return f"No validation had an AP: nothing was detected. The last weights are in {last}"
        return f"Best AP {found.ap:.2f}, after {found.iterations:,} iterations: {best}"


class BestModel(AfterEvaluation):
    """Keeps the history of the APs, and the weights of the highest one.

    For the main process alone.

    Args:
        history: of the training.
        period: iterations between evaluations.
        model: that is evaluated.
        path: file of the best weights; None keeps the history alone.
        metadata: what the file says about itself.
    """

    def __init__(
        self,
        history: ValidationHistory,
        *,
        period: int,
        model: nn.Module,
        path: Path | None,
        metadata: Metadata | None,
    ) -> None:
        super().__init__(period)
        self._history = history
        self._model = model
        self._path = path
        self._metadata = metadata

    def act(self) -> None:
        """Note the evaluation, and save the weights if they are the best so far."""
        done, ap = self.iterations_done, box_ap(self.trainer.last_results)
        is_best = self._history.is_best(ap)
        if is_best and self._path is not None:
            # Before the history: if this process is killed between them, the validation is redone.
            save_weights(self._path, self._model, done, metadata=self._metadata)
        self._history.add(done, ap)
        told = "no AP, since nothing was detected" if math.isnan(ap) else f"AP {ap:.2f}"
        best = ", the best so far" if is_best else ""
        logger.info("Validation after iteration %s: %s%s", f"{done:,}", told, best)


def save_weights(
    path: Path, model: nn.Module, iterations: int, *, metadata: Metadata | None
) -> None:
    """Write weights alone: nothing to resume from, but all that a user of the model needs.

    Args:
        path: file to write, whole or not at all.
        model: without wrappers.
        iterations: that were done.
        metadata: what the file says about itself.
    """
    # As in Detectron2's checkpoints: the number of the last iteration.
    check_finite({"model": model.state_dict()}, path)
    content: dict[str, Any] = {"model": model.state_dict(), "iteration": iterations - 1}
    if metadata is not None:
        content[ENTRY] = metadata.as_dict()
    with explained(path, content):
        write_whole(path, lambda target: torch.save(content, target))
