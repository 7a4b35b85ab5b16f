"""A resumed training draws what an uninterrupted one would have drawn."""

import logging
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from vfnet_d2.training.loading.loader import TrainingLoader
from vfnet_d2.utils.random_numbers import seed_from

logger = logging.getLogger(__name__)


class SamplerState(HookBase):
    """Saves the position in the order of images, and makes random numbers follow from the step.

    Every step starts from random numbers of the training's seed, the process and the iteration,
    for Python, NumPy and PyTorch. Saved states would not do: a checkpoint is written by one process
    of several, and an evaluation between it and the next step draws numbers too.

    Args:
        loader: of the training. With another one than :class:`TrainingLoader`, a resumed training
            draws its images in a new order.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader if isinstance(loader, TrainingLoader) else None
        self._seed = int(comm.shared_random_seed())
        self._restored = False

    def before_train(self) -> None:
        """Say where the order cannot be that of the training before."""
        if self._loader is None:
            logger.warning(
                "The training loader is not of vfnet_d2.training.loading.loader."
                "build_training_loader: a resumed training draws its images in a new order"
            )
        elif self.trainer.start_iter > 0 and not self._restored:
            logger.warning(
                "The checkpoint says nothing of the order of images, so it is of an earlier "
                "version: the order starts anew"
            )

    def before_step(self) -> None:
        """Seed the random numbers of the step."""
        seed_from(self._seed, comm.get_rank(), self.trainer.iter)

    def state_dict(self) -> dict[str, Any]:
        """Return seed and position."""
        loader = {} if self._loader is None else self._loader.state_dict()
        return {"seed": self._seed, "loader": loader}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the checkpoint's seed and position."""
        self._seed = int(state["seed"])
        if self._loader is not None and state["loader"]:
            self._loader.load_state_dict(state["loader"])
            self._restored = True
