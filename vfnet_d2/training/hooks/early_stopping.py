"""The end of a training when nothing improves."""

import logging

from detectron2.engine import HookBase
from detectron2.utils import comm

from vfnet_d2.training.hooks.best_model import ValidationHistory

logger = logging.getLogger(__name__)


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
