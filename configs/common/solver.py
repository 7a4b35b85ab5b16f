"""Optimizers and learning-rate schedules of the published recipes."""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler, MultiStepParamScheduler
from omegaconf import DictConfig

from vfnet_d2.training.optimizers import get_param_groups


def sgd(*, lr: float = 0.01) -> DictConfig:
    """SGD for 16 images; biases of convolutions learn twice as fast and do not decay."""
    return L(torch.optim.SGD)(
        params=L(get_param_groups)(
            base_lr="${..lr}",
            weight_decay="${..weight_decay}",
            bias_lr_factor=2.0,
            weight_decay_bias=0.0,
        ),
        lr=lr,
        momentum=0.9,
        weight_decay=0.0001,
    )


def yolof_sgd(*, lr: float = 0.12) -> DictConfig:
    """SGD for 64 images; the ImageNet backbone learns a third as fast, norms do not decay."""
    optimizer = sgd(lr=lr)
    optimizer.params = L(get_param_groups)(
        base_lr="${..lr}",
        weight_decay="${..weight_decay}",
        weight_decay_norm=0.0,
        lr_factors=[["backbone.bottom_up", 0.3333333333333333]],
    )
    return optimizer


def adamw(
    *, lr: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)
) -> DictConfig:
    """AdamW without decay of norms and biases."""
    return L(torch.optim.AdamW)(
        params=L(get_param_groups)(
            base_lr="${..lr}",
            weight_decay="${..weight_decay}",
            weight_decay_bias=0.0,
            weight_decay_norm=0.0,
        ),
        lr=lr,
        betas=betas,
        weight_decay=weight_decay,
        fused=True,
    )


def step_schedule(
    *, max_iter: int = 90000, steps: tuple[int, ...] = (60000, 80000), warmup: int = 500
) -> DictConfig:
    """A tenth of the rate after each step; linear warm-up from a tenth."""
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[0.1**k for k in range(len(steps) + 1)],
            milestones=list(steps),
            num_updates=max_iter,
        ),
        warmup_factor=0.1,
        warmup_length=warmup / max_iter,
        warmup_method="linear",
    )


def step_schedule_2x() -> DictConfig:
    """:func:`step_schedule` of twice the length."""
    return step_schedule(max_iter=180000, steps=(120000, 160000))


def cosine_schedule(*, max_iter: int, warmup: int, warmup_factor: float) -> DictConfig:
    """Half a cosine down to 0 after a linear warm-up."""
    return L(WarmupParamScheduler)(
        scheduler=L(CosineParamScheduler)(start_value=1, end_value=0),
        warmup_factor=warmup_factor,
        warmup_length=warmup / max_iter,
        warmup_method="linear",
    )
