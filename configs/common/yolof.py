"""How YOLOF is trained."""

from typing import Any

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.augmentation.random_shift import RandomShift

from .data import detection_data
from .solver import step_schedule, yolof_sgd
from .train import train_settings

Run = tuple[DictConfig, DictConfig, DictConfig, dict[str, Any]]


def yolof_run(*, depth: int = 50) -> Run:
    """Loaders, optimizer, schedule and settings for 64 images, 8 on each of 8 GPUs."""
    schedule = step_schedule(max_iter=21996, steps=(14664, 20163), warmup=1500)
    schedule.warmup_factor = 0.00066667
    train = train_settings(init_checkpoint=_weights(depth), max_iter=21996, eval_period=1833)
    return _data(64), yolof_sgd(), schedule, train


def yolof_dc5_run(*, depth: int = 50) -> Run:
    """The same for YOLOF on DC5 and 32 images, 4 on each of 8 GPUs."""
    schedule = step_schedule(max_iter=45000, steps=(30000, 40000), warmup=3000)
    schedule.warmup_factor = 0.000334
    train = train_settings(init_checkpoint=_weights(depth), max_iter=45000, eval_period=3750)
    return _data(32), yolof_sgd(lr=0.06), schedule, train


def _data(batch_size: int) -> DictConfig:
    return detection_data(
        batch_size=batch_size, image_format="BGR", augmentations=(L(RandomShift)(),)
    )


def _weights(depth: int) -> str:
    return f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl"
