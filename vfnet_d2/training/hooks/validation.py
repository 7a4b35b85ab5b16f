"""Validations of a training: their history, the best one, and the end when nothing improves."""

import json
import logging
import math
from pathlib import Path
from typing import NamedTuple

from detectron2.engine import HookBase
from detectron2.utils import comm

from vfnet_d2.utils.files import replacing

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
        best = self.best
        known = None if math.isnan(ap) else ap
        self.entries.append(Validation(iterations, known))
        with replacing(self._path) as scratch:
            content = [entry._asdict() for entry in self.entries]
            scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return known is not None and (best is None or known > (best.ap or 0.0))

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


class EarlyStopError(BaseException):
    """Ends Detectron2's training loop, which has no other way out.

    No ``Exception``, because it is no failure: the loop would log a traceback.
    """


class EarlyStopping(HookBase):
    """Ends the training after several validations without a better AP.

    Stands after the evaluation among the hooks, in every process.

    Args:
        history: of the main process; the others' are not asked.
        period: iterations between validations.
        patience: validations without improvement that end the training.
    """

    def __init__(self, history: ValidationHistory, *, period: int, patience: int) -> None:
        self._history = history
        self._period = period
        self._patience = patience

    def after_step(self) -> None:
        """Raise EarlyStopError in all processes if it is time."""
        done = self.trainer.iter + 1
        if self._period <= 0 or done % self._period or done == self.trainer.max_iter:
            return
        exhausted = comm.is_main_process() and self._history.since_best >= self._patience
        if any(comm.all_gather(exhausted)):
            logger.info(
                "Stopping early: the last %d validations brought no better AP", self._patience
            )
            raise EarlyStopError
