"""The config that a fine-tuning starts from: a file's, a name's, or the checkpoint's own."""

import os
from collections.abc import Sequence
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.inference.loading import config_of, read_metadata, without_config
from vfnet_d2.model_zoo import available_configs, get_config
from vfnet_d2.training.from_yaml import check_architecture

# Whose optimizer and learning rate a checkpoint gets whose model is of no shipped config.
USUAL_SOLVER = "vfnet_R_50_1x"
# yacs raises these for unknown keys and for values of another type.
_REFUSED = (KeyError, AssertionError, ValueError, SyntaxError)


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
    cfg.merge_from_file(config)
    return cfg


def config_of_checkpoint(weights: str) -> CfgNode:
    """Return the config that a checkpoint tells.

    A checkpoint of a training tells model, input and test settings. Its optimizer is that of the
    shipped config of the same architecture or the same model, else that of USUAL_SOLVER.

    Args:
        weights: a file.

    Raises:
        CheckpointError: it tells none.
    """
    metadata, state = read_metadata(weights)
    if metadata is None:
        raise CheckpointError(without_config(weights, state))
    cfg = config_of(metadata, weights)
    if metadata.config is not None:
        cfg.SOLVER = get_config(next(iter(metadata.configs), None) or _same_model(cfg)).SOLVER
    return cfg


def _same_model(cfg: CfgNode) -> str:
    """Name of the first shipped config of a model, else USUAL_SOLVER.

    A model that was trained from scratch by one optimizer learns badly by the rates of another.
    """
    model = _model_alone(cfg)
    return next(
        (name for name in available_configs() if _model_alone(get_config(name)) == model),
        USUAL_SOLVER,
    )


def _model_alone(cfg: CfgNode) -> Any:
    """The model as read from YAML, which knows no tuples, without what differs between runs."""
    model = cfg.MODEL.clone()
    del model["WEIGHTS"], model["DEVICE"], model.ONE_STAGE["NUM_CLASSES"]
    return yaml.safe_load(model.dump())


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
            cfg.merge_from_list([key, value])
        except _REFUSED as error:
            raise ValueError(f"--opts {key} {value}: {error}") from error
        node = cfg
        for name in key.split("."):
            node = node[name]
        given[key] = node
    return given
