"""How often each training image is drawn: Detectron2's samplers, made of a seed."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from torch.utils.data import Sampler


def sampler_of_config(cfg: CfgNode, dicts: Sequence[dict[str, Any]]) -> Callable[[int], Sampler]:
    """Return what makes the sampler that ``DATALOADER.SAMPLER_TRAIN`` names, of a seed.

    Args:
        cfg: of Detectron2.
        dicts: of the dataset.

    Raises:
        ValueError: no such sampler; lists those that there are.
    """
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name == "TrainingSampler":
        return functools.partial(all_images, len(dicts))
    if name == "RepeatFactorTrainingSampler":
        factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            dicts, cfg.DATALOADER.REPEAT_THRESHOLD
        )
        return functools.partial(_repeated, factors)
    if name == "RandomSubsetTrainingSampler":
        return functools.partial(_subset, len(dicts), cfg.DATALOADER.RANDOM_SUBSET_RATIO)
    raise ValueError(
        f"DATALOADER.SAMPLER_TRAIN is {name!r}; there are TrainingSampler, "
        "RepeatFactorTrainingSampler and RandomSubsetTrainingSampler"
    )


def all_images(count: int, seed: int) -> Sampler:
    """Return the sampler that draws all images, shuffled, again and again."""
    return TrainingSampler(count, seed=seed)


def _repeated(factors: Any, seed: int) -> Sampler:
    return RepeatFactorTrainingSampler(factors, seed=seed)


def _subset(count: int, ratio: float, seed: int) -> Sampler:
    return RandomSubsetTrainingSampler(count, ratio, seed_shuffle=seed, seed_subset=seed)
