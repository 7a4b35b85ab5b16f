"""How the detectors of the paper's Table 5 are trained, other than VFNet."""

from typing import Any

from omegaconf import DictConfig

from .data import detection_data
from .solver import sgd, step_schedule
from .train import train_settings


def baseline_run(
    *, warmup_factor: float = 0.1
) -> tuple[DictConfig, DictConfig, DictConfig, dict[str, Any]]:
    """Loaders, optimizer, schedule and settings; biases are trained like all other parameters."""
    optimizer = sgd()
    optimizer.params.bias_lr_factor = 1.0
    optimizer.params.weight_decay_bias = optimizer.weight_decay
    schedule = step_schedule()
    schedule.warmup_factor = warmup_factor
    train = train_settings(
        init_checkpoint="detectron2://ImageNetPretrained/torchvision/R-50.pkl",
    )
    return detection_data(), optimizer, schedule, train
