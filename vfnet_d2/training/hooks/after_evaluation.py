"""Hooks that act after each evaluation."""

import abc

from detectron2.engine import HookBase


class AfterEvaluation(HookBase, abc.ABC):
    """Acts when Detectron2's ``EvalHook`` of the same period has evaluated, and stands after it.

    Args:
        period: iterations between evaluations; 0 for the one at the end alone.
    """

    def __init__(self, period: int) -> None:
        self._period = period

    @abc.abstractmethod
    def act(self) -> None:
        """Act on ``trainer.last_results``."""

    @property
    def iterations_done(self) -> int:
        """Iterations that are done, also when the training has ended."""
        return min(int(self.trainer.iter) + 1, int(self.trainer.max_iter))

    def after_step(self) -> None:
        """See ``EvalHook``."""
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self.act()

    def after_train(self) -> None:
        """See ``EvalHook``."""
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self.act()
