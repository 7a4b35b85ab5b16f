"""The config that a fine-tuning starts from: a file's, a name's, or the checkpoint's own."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, get_cfg

from vfnet_d2.checkpoint.describe import read_metadata, without_config
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.trained import has_solver
from vfnet_d2.config import add_vfnet_config, merge_yaml_file
from vfnet_d2.model_zoo import available_configs, config_of, get_config
from vfnet_d2.overrides import merge_config
from vfnet_d2.training.from_yaml import check_architecture
from vfnet_d2.utils.errors import UserError

logger = logging.getLogger(__name__)

# Whose optimizer and learning rate a checkpoint gets that tells none.
USUAL_SOLVER = "vfnet_R_50_1x"


def starting_config(*, weights: str | None = None, config: str | None = None) -> CfgNode:
    """Return the config of a training, as for its own data.

    Args:
        weights: checkpoint to start from; None for the config's.
        config: YAML file, or name of a config of the model zoo; None takes the checkpoint's own.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: a checkpoint that does not say its config.
        ValueError: no such config, or nothing is named.
    """
    if weights and "://" not in weights and not os.path.isfile(weights):
        raise FileNotFoundError(f"checkpoint {weights} does not exist")
    if config is not None:
        cfg = _named_config(config)
    elif weights:
        cfg = config_of_checkpoint(weights)
    else:
        raise ValueError(
            "nothing says which model to train: name a checkpoint with --weights, or a config "
            "with --config-file FILE or --model NAME, such as vfnet_R_50_1x"
        )
    check_architecture(cfg)
    if weights:
        cfg.MODEL.WEIGHTS = weights
    return cfg


def _named_config(config: str) -> CfgNode:
    if config.endswith(".py"):
        raise ValueError(
            f"{config} is a LazyConfig, which vfnet train does not take: name its YAML twin, or "
            "use train_net.py"
        )
    if not config.endswith((".yaml", ".yml")):
        return get_config(config)
    if not os.path.isfile(config):
        raise FileNotFoundError(f"config {config} does not exist")
    cfg = add_vfnet_config(get_cfg())
    merge_yaml_file(cfg, config)
    return cfg


def config_of_checkpoint(weights: str) -> CfgNode:
    """Return the config that a checkpoint tells.

    Its optimizer and learning rate are those of its own training, if it records them. Of files
    that do not, it is that of the shipped config they name, else of USUAL_SOLVER, which is said.

    Args:
        weights: a file.

    Raises:
        CheckpointError: it tells none.
    """
    metadata, state = read_metadata(weights)
    if metadata is None:
        raise CheckpointError(without_config(weights, state))
    cfg = config_of(metadata, weights)
    if metadata.config is None:
        if metadata.lazy_config is not None:
            logger.warning(
                "%s was trained by a LazyConfig, which vfnet train does not take: model and "
                "optimizer are those of the shipped YAML config of %s, %s. Name another one with "
                "--config-file",
                weights,
                metadata.architecture,
                next(name for name in metadata.configs if name in available_configs()),
            )
        return cfg
    if has_solver(metadata.config):
        # Whether to compute in mixed precision is a question of the machine.
        cfg.SOLVER.AMP.ENABLED = False
    else:
        named = next((name for name in metadata.configs if name in available_configs()), None)
        cfg.SOLVER = get_config(named or USUAL_SOLVER).SOLVER
        if named is None:
            logger.warning(
                "%s does not say how it was trained: optimizer and learning rate are those of %s. "
                "Name another config with --config-file, or set SOLVER keys with --opts",
                weights,
                USUAL_SOLVER,
            )
    return cfg


def merge_options(cfg: CfgNode, opts: Sequence[str]) -> dict[str, Any]:
    """Write the user's keys and values into a config; return them with their parsed values.

    Args:
        cfg: changed in place.
        opts: keys and values in turn.

    Raises:
        ValueError: a key is unknown, or its value of another type.
    """
    if len(opts) % 2:
        raise ValueError(f"--opts takes keys and values in turn; {opts[-1]!r} has no value")
    given = {}
    for key, value in zip(opts[::2], opts[1::2], strict=True):
        try:
            merge_config(cfg, "", [key, value])
        except UserError as error:
            raise ValueError(f"--opts {key} {value}: {error}") from error
        node = cfg
        for name in key.split("."):
            node = node[name]
        given[key] = node
    return given
