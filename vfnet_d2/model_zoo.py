"""Configs and models by name, from a checkout or an installed wheel."""

import importlib.resources
import logging
from pathlib import Path

import torch

from vfnet_d2.utils.requirements import require_detectron2

try:
    from detectron2.config import CfgNode, get_cfg, instantiate
except ModuleNotFoundError:
    require_detectron2()
    raise
from detectron2.modeling import build_model
from omegaconf import DictConfig
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.describe import HOW_TO_NAME_A_CONFIG
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import Metadata
from vfnet_d2.checkpoint.trained import config_from_text, set_num_classes
from vfnet_d2.config import add_vfnet_config, merge_yaml_file
from vfnet_d2.utils.old_targets import load_lazy_config

logger = logging.getLogger(__name__)


def config_root() -> Path:
    """Return the folder of the configs: ``configs/`` of a checkout, else the wheel's copy."""
    checkout = Path(__file__).resolve().parents[1] / "configs"
    if checkout.is_dir():
        return checkout
    return Path(str(importlib.resources.files("vfnet_d2") / "configs"))


def available_configs() -> list[str]:
    """Return the names of all configs, such as "vfnet_R_50_1x" or "quick/vfnet_shapes"."""
    root = config_root()
    return sorted(
        path.relative_to(root).with_suffix("").as_posix()
        for path in root.rglob("*.yaml")
        if not path.name.startswith("Base-")
    )


def config_file(name: str, *, suffix: str = ".yaml") -> str:
    """Return the path of a config.

    Args:
        name: as :func:`available_configs` lists it.
        suffix: ".yaml", or ".py" for the LazyConfig twin.

    Raises:
        ValueError: no such config; lists the known ones.
    """
    path = config_root() / f"{name}{suffix}"
    if not path.is_file():
        raise ValueError(f"no config {name!r} with suffix {suffix!r}; known: {available_configs()}")
    return str(path)


def get_config(name: str, *, suffix: str = ".yaml") -> CfgNode | DictConfig:
    """Return a config of the model zoo.

    Args:
        name: as :func:`available_configs` lists it.
        suffix: ".yaml" for a ``CfgNode``, ".py" for its LazyConfig twin, a ``DictConfig``.

    Raises:
        ValueError: no such config; lists the known ones.
    """
    path = config_file(name, suffix=suffix)
    if suffix == ".py":
        return load_lazy_config(path)
    cfg = add_vfnet_config(get_cfg())
    merge_yaml_file(cfg, path)
    return cfg


def config_of(metadata: Metadata, weights: str | Path) -> CfgNode:
    """Return the YAML config that a checkpoint holds or names, with its classes and input.

    Args:
        metadata: of the checkpoint.
        weights: its file, for messages.

    Raises:
        CheckpointError: it holds none, and names none that is shipped.
    """
    if metadata.config is not None:
        return config_from_text(metadata.config, weights)
    shipped = [name for name in metadata.configs if name in available_configs()]
    if not shipped:
        raise CheckpointError(
            f"{weights} is of {metadata.architecture}, of which no config is shipped here. Pass "
            f"the config of its training: {HOW_TO_NAME_A_CONFIG}"
        )
    if not metadata.source_file and metadata.lazy_config is None:
        logger.warning(
            "%s does not hold the config of its training; its tensors fit the shipped %s, which is "
            "taken. Pass another one by %s",
            weights,
            shipped[0],
            HOW_TO_NAME_A_CONFIG,
        )
    cfg = get_config(shipped[0])
    convention = metadata.input_convention
    cfg.INPUT.FORMAT = convention.input_format
    cfg.MODEL.PIXEL_MEAN = list(convention.pixel_mean)
    cfg.MODEL.PIXEL_STD = list(convention.pixel_std)
    if metadata.num_classes is not None:
        set_num_classes(cfg, metadata.num_classes)
    return cfg


def get(
    name: str, *, suffix: str = ".yaml", device: str | None = None, checkpoint: str = ""
) -> nn.Module:
    """Build a model of the model zoo; it is in training mode, as after its constructor.

    Args:
        name: as :func:`available_configs` lists it.
        suffix: of the config to build it from, ".yaml" or ".py".
        device: such as "cpu" or "cuda:1"; None for the config's, or the CPU where there is no GPU.
        checkpoint: weights to load: what ``MODEL.WEIGHTS`` takes. "" loads nothing, not even the
            ImageNet weights that the config names.

    Raises:
        ValueError: no such config, or a checkpoint that does not fit.
        FileNotFoundError: no such checkpoint.
    """
    config = get_config(name, suffix=suffix)
    if device is None and not torch.cuda.is_available():
        device = "cpu"
    if isinstance(config, CfgNode):
        config.MODEL.DEVICE = device or config.MODEL.DEVICE
        model = build_model(config)
    else:
        model = instantiate(config.model).to(device or config.train.device)
    if checkpoint:
        CheckedCheckpointer(model).load(checkpoint)
    return model
