"""The checks of a training's options before anything is done."""

import math

from vfnet_d2.training.components import Components
from vfnet_d2.training.hooks.trackers import check_trackers


def check_options(parts: Components) -> None:
    """Raise ValueError, naming the key, if an option is impossible or lacks what it needs."""
    options = parts.options
    key = "TRAINING.{} (YAML) or train.options.{} (LazyConfig)"
    for name in ("clip_total_norm", "patience", "skip_bad_batches"):
        value = getattr(options, name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{key.format(name.upper(), name)} is {value}; it must be 0 or more")
    if not 0 < options.ema_decay < 1:
        name = key.format("EMA_DECAY", "ema_decay")
        raise ValueError(f"{name} is {options.ema_decay}; it must lie between 0 and 1")
    for name in ("keep_best", "patience", "pictures"):
        if getattr(options, name) and not parts.test_sets:
            raise ValueError(
                f"{key.format(name.upper(), name)} needs a test set: set DATASETS.TEST (YAML) or "
                "dataloader.test.dataset.names (LazyConfig)"
            )
    if options.patience and parts.eval_period <= 0:
        raise ValueError(
            f"{key.format('PATIENCE', 'patience')} needs evaluations on the way: set "
            "TEST.EVAL_PERIOD (YAML) or train.eval_period (LazyConfig) above 0"
        )
    check_trackers(options.trackers)
