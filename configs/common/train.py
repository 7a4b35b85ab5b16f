"""Settings of a run that belong to no object."""

from typing import Any

from vfnet_d2.config import TrainingOptions


def train_settings(**changes: Any) -> dict[str, Any]:
    """The defaults of Detectron2's trainers, with ``changes`` on top."""
    return {
        "output_dir": "output",
        "init_checkpoint": "",
        "max_iter": 90000,
        "amp": {"enabled": False, "precision": "float16"},
        "checkpointer": {"period": 5000},
        "eval_period": 5000,
        "log_period": 20,
        "device": "cuda",
        "seed": -1,
        "options": TrainingOptions()._asdict(),
        **changes,
    }
