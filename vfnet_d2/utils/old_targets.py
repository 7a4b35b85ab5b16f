"""``_target_`` paths of LazyConfigs that were stored when modules had other names."""

import functools
import logging
from typing import Any

import yaml
from detectron2.config import LazyConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from vfnet_d2.utils.errors import UserError

logger = logging.getLogger(__name__)

# Old module or package, and where it is now; of several that fit, the longest counts.
MOVED = {
    "vfnet_d2.data.dataset": "vfnet_d2.data.loading",
    "vfnet_d2.data.shapes": "vfnet_d2.shapes.dataset",
    "vfnet_d2.data.shapes_config": "vfnet_d2.shapes.config",
    "vfnet_d2.engine.solver": "vfnet_d2.training.optimizers",
    "vfnet_d2.engine.tta": "vfnet_d2.inference.tta",
    "vfnet_d2.layers.modulated_deform_conv": "vfnet_d2.layers.deform.modulated_conv",
    "vfnet_d2.layers.star_conv": "vfnet_d2.layers.deform.star_conv",
    "vfnet_d2.modeling.box_coders": "vfnet_d2.modeling.dense.box_coders",
    "vfnet_d2.modeling.heads": "vfnet_d2.modeling.dense.heads",
    "vfnet_d2.modeling.matchers": "vfnet_d2.modeling.dense.matchers",
    "vfnet_d2.modeling.meta_arch": "vfnet_d2.modeling.dense.detectors",
    "vfnet_d2.modeling.meta_arch.one_stage": "vfnet_d2.modeling.dense.one_stage",
    "vfnet_d2.modeling.postprocess": "vfnet_d2.modeling.dense.postprocess",
}


def current_target(target: str) -> str:
    """Return the path of today for a dotted path, which may be one already.

    >>> current_target("vfnet_d2.modeling.meta_arch.vfnet.VFNet")
    'vfnet_d2.modeling.dense.detectors.vfnet.VFNet'
    """
    parts = target.split(".")
    for end in range(len(parts) - 1, 0, -1):
        new = MOVED.get(".".join(parts[:end]))
        if new is not None:
            return ".".join([new, *parts[end:]])
    return target


def rename_targets(cfg: DictConfig | ListConfig) -> None:
    """Rewrite every moved ``_target_`` of a LazyConfig in place; warn once of each.

    Args:
        cfg: as ``LazyConfig.load`` returns it, of a ``.py`` file or of the ``config.yaml`` that
            Detectron2 writes into output folders.
    """
    for key in range(len(cfg)) if isinstance(cfg, ListConfig) else list(cfg):
        if OmegaConf.is_missing(cfg, key) or OmegaConf.is_interpolation(cfg, key):
            continue
        value: Any = cfg[key]
        if isinstance(value, DictConfig | ListConfig):
            rename_targets(value)
        elif key == "_target_" and isinstance(value, str) and current_target(value) != value:
            _tell(value, current_target(value))
            cfg[key] = current_target(value)


@functools.cache
def _tell(old: str, new: str) -> None:
    logger.warning("The config names %s, which has moved: write %s instead", old, new)


def _load_dump(path: str) -> DictConfig:
    """Read a dump as data; Detectron2's own loader runs what a YAML file's tags say."""
    with open(path, encoding="utf-8") as file:
        try:
            content = yaml.safe_load(file)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"config {path} cannot be read as data ({reason}): use the .py file it is from"
            ) from error
    return OmegaConf.create(content, flags={"allow_objects": True})


def load_lazy_config(path: str) -> DictConfig:
    """Load a LazyConfig file, or its dump as YAML, with the ``_target_`` paths of today.

    Args:
        path: of the file. A ``.py`` file is code and runs; what it imports by an old name fails
            there, as any import. A dump is read as data.

    Raises:
        UserError: a dump that is no YAML, or has tags that would run code.
    """
    cfg = LazyConfig.load(path) if path.endswith(".py") else _load_dump(path)
    rename_targets(cfg)
    return cfg
