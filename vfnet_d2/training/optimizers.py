"""Parameter groups and optimizers of the published recipes."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from vfnet_d2.utils.registry import lookup_name

# Offset convolutions of deformable layers carry this name; their biases follow the plain rule.
OFFSET_CONV = "conv_offset"

_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.instancenorm._InstanceNorm,
)


def get_param_groups(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    bias_lr_factor: float = 1.0,
    weight_decay_bias: float | None = None,
    weight_decay_norm: float | None = None,
    lr_factors: Sequence[tuple[str, float]] = (),
) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate and weight decay.

    The bias rule is for biases of ordinary convolutions and linear layers alone: norm biases and
    the biases of offset convolutions are treated like weights. Detectron2's BIAS_LR_FACTOR would
    catch those too.

    Args:
        model: its parameters with ``requires_grad``.
        base_lr: learning rate of everything but biases.
        weight_decay: weight decay unless one of the next says otherwise.
        bias_lr_factor: learning rate of biases, over ``base_lr``.
        weight_decay_bias: weight decay of biases, or None for ``weight_decay``.
        weight_decay_norm: weight decay of norm weights and norm biases, or None likewise.
        lr_factors: (name, factor) of parts of the model, such as ("backbone.bottom_up", 0.1), whose
            learning rate is multiplied by the factor, on top of ``bias_lr_factor``. Of several
            names that begin a parameter's own, the longest counts.

    Returns:
        groups for a ``torch.optim`` optimizer, each with "params", "lr" and "weight_decay".

    Raises:
        ValueError: a factor is negative, or the model has no parameter below its name.
    """
    factors = _longest_first(lr_factors, [name for name, _ in model.named_parameters()])
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            lr, decay = base_lr, weight_decay
            if isinstance(module, _NORMS):
                decay = weight_decay if weight_decay_norm is None else weight_decay_norm
            elif name == "bias" and module_name.rpartition(".")[2] != OFFSET_CONV:
                lr = base_lr * bias_lr_factor
                decay = weight_decay if weight_decay_bias is None else weight_decay_bias
            full_name = f"{module_name}.{name}" if module_name else name
            lr *= next((factor for part, factor in factors if _is_below(full_name, part)), 1.0)
            groups.setdefault((lr, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]


def _longest_first(
    lr_factors: Sequence[tuple[str, float]], names: Sequence[str]
) -> list[tuple[str, float]]:
    """Check the factors against a model's parameters and sort them."""
    for part, factor in lr_factors:
        if factor < 0:
            raise ValueError(
                f"lr_factors (SOLVER.LR_FACTORS) gives {part!r} the factor {factor}; it must be 0 "
                "or above"
            )
        if not any(_is_below(name, part) for name in names):
            known = sorted({name.split(".")[0] for name in names})
            raise ValueError(
                f"lr_factors (SOLVER.LR_FACTORS) names {part!r}, but no parameter of the model is "
                f"called so or begins with {part + '.'!r}; the names begin with {known}"
            )
    return sorted(((part, factor) for part, factor in lr_factors), key=lambda x: -len(x[0]))


def _is_below(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _sgd(cfg: CfgNode, params: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        params,
        lr=cfg.SOLVER.BASE_LR,
        momentum=cfg.SOLVER.MOMENTUM,
        nesterov=cfg.SOLVER.NESTEROV,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
    )


def _adamw(cfg: CfgNode, params: list[dict[str, Any]]) -> torch.optim.Optimizer:
    # One kernel for all parameters: a small model has hundreds, and a step of each costs more
    # than its arithmetic.
    return torch.optim.AdamW(
        params,
        lr=cfg.SOLVER.BASE_LR,
        betas=tuple(cfg.SOLVER.BETAS),
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        fused=True,
    )


OPTIMIZERS = {"SGD": _sgd, "AdamW": _adamw}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build ``SOLVER.OPTIMIZER`` ("SGD" or "AdamW") with :func:`get_param_groups`.

    Raises:
        ValueError: unknown optimizer.
    """
    make = lookup_name(OPTIMIZERS, cfg.SOLVER.OPTIMIZER, key="SOLVER.OPTIMIZER")
    params = get_param_groups(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        lr_factors=cfg.SOLVER.LR_FACTORS,
    )
    return maybe_add_gradient_clipping(cfg, make(cfg, params))


def clip_total_norm(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Make an optimizer scale the gradient of all parameters together down to a norm.

    Detectron2's own clipping treats each parameter by itself, which turns the gradient.

    Args:
        optimizer: changed in place.
        max_norm: largest Euclidean norm of the whole gradient.

    Raises:
        ValueError: the norm is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"the largest norm of the gradient is {max_norm}; it must be above 0")

    def clip(stepping: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        del args, kwargs
        parameters = [p for group in stepping.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)

    optimizer.register_step_pre_hook(clip)


def base_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """Return the learning rate of each parameter group before its schedule.

    A scheduler that is bound to the optimizer has changed "lr" already, for the warm-up.
    """
    return [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]


def resume_learning_rates(
    optimizer: torch.optim.Optimizer, schedule: Any, configured: Sequence[float]
) -> str:
    """Have a resumed optimizer follow the config's learning rates, and say which count.

    Args:
        optimizer: whose state was restored; changed in place where the rates differ.
        schedule: its scheduler, whose state was restored too, or an fvcore ``ParamScheduler``,
            which Detectron2 binds to the optimizer later.
        configured: :func:`base_rates` of the config as it is now.

    Returns:
        a clause for the log.
    """
    groups = optimizer.param_groups
    restored = base_rates(optimizer)
    if list(configured) == restored:
        return f"the learning rate is still {max(configured):g} before its schedule"
    for group, rate in zip(groups, configured, strict=True):
        group["initial_lr"] = rate
    if isinstance(schedule, torch.optim.lr_scheduler.LRScheduler):
        schedule.base_lrs = list(configured)
        for group, current in zip(groups, schedule.get_lr(), strict=True):
            group["lr"] = current
    return (
        f"the learning rate before its schedule is {max(configured):g} from here on, as the config "
        f"says; it was {max(restored):g}"
    )
