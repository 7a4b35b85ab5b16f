"""The evaluation that a training was ended in."""

import logging
from collections.abc import Sequence

from detectron2.engine import HookBase
from detectron2.utils import comm

from vfnet_d2.training.hooks.best_model import ValidationHistory

logger = logging.getLogger(__name__)


class MissedEvaluation(HookBase):
    """Makes up for an evaluation that a resumed training's checkpoint was written before.

    Stands last among the hooks that it calls.

    Args:
        history: of the main process; the others' are not asked.
        evaluation: hooks that evaluate and act on the results, in their order.
        period: iterations between evaluations.
    """

    def __init__(
        self, history: ValidationHistory, evaluation: Sequence[HookBase], *, period: int
    ) -> None:
        self._history = history
        self._evaluation = evaluation
        self._period = period

    def before_train(self) -> None:
        """Evaluate, in all processes, if the history lacks the start's evaluation."""
        start = int(self.trainer.start_iter)
        due = 0 < start < self.trainer.max_iter and self._period > 0 and start % self._period == 0
        known = [entry.iterations for entry in self._history.entries]
        if not any(comm.all_gather(due and comm.is_main_process() and start not in known)):
            return
        logger.info("Doing the evaluation after iteration %s, which was not done", f"{start:,}")
        self.trainer.iter = self.trainer.storage.iter = start - 1
        for hook in self._evaluation:
            hook.after_step()
        self.trainer.iter = self.trainer.storage.iter = start
