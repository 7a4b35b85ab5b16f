"""Models with their weights, from a config file or from what the checkpoint says about itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode, get_cfg, instantiate
from detectron2.data import DatasetMapper, MetadataCatalog
from detectron2.modeling import build_model
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.describe import read_metadata, without_config
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.lazy_config import parts_from_text
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.model_zoo import config_file, config_of
from vfnet_d2.overrides import merge_config, override_lazy_config
from vfnet_d2.shapes.config import SHAPES_CLASSES
from vfnet_d2.shapes.dataset import SHAPES_SPLITS
from vfnet_d2.utils.old_targets import load_lazy_config
from vfnet_d2.utils.system import available_device, default_device


class TrainedModel(NamedTuple):
    """A model and the preprocessing of its test set.

    Attributes:
        model: with its weights.
        mapper: makes a model input of a dataset dict with "file_name".
        test_datasets: names of the config's test sets.
        class_names: K names; numbers from 0 where nobody knows any.
    """

    model: nn.Module
    mapper: Any
    test_datasets: list[str]
    class_names: list[str]


def model_of_config(config: str, opts: Sequence[str] = (), *, weights: str = "") -> TrainedModel:
    """Build the model of a YAML or LazyConfig file and load its weights.

    Args:
        config: path of the config.
        opts: overrides in the config's system.
        weights: of the model; "" for those that the config or its overrides name.

    Raises:
        FileNotFoundError: no such config or weights.
        CheckpointError: the weights do not fit.
    """
    if not os.path.isfile(config):
        raise FileNotFoundError(f"config {config} does not exist")
    if not config.endswith(".py"):
        cfg = add_vfnet_config(get_cfg())
        merge_config(cfg, config, opts)
        return _model_of_node(cfg, weights)
    lazy = override_lazy_config(load_lazy_config(config), opts)
    model = instantiate(lazy.model).to(available_device(lazy.train.device))
    mapper = instantiate(lazy.dataloader.test.mapper)
    names = lazy.dataloader.test.dataset.names
    names = [names] if isinstance(names, str) else list(names)
    CheckedCheckpointer(model).load_for_evaluation(weights or lazy.train.init_checkpoint)
    return TrainedModel(model, mapper, names, _class_names(model, names))


def _model_of_lazy_text(text: str, weights: str | Path, device: str) -> TrainedModel:
    parts = parts_from_text(text, weights)
    model = instantiate(parts.model).to(device)
    CheckedCheckpointer(model).load_for_evaluation(str(weights))
    return TrainedModel(model, instantiate(parts.mapper), [], _class_names(model, []))


def _model_of_node(cfg: CfgNode, weights: str) -> TrainedModel:
    cfg.MODEL.DEVICE = available_device(cfg.MODEL.DEVICE)
    model = build_model(cfg)
    CheckedCheckpointer(model).load_for_evaluation(weights or cfg.MODEL.WEIGHTS)
    names = list(cfg.DATASETS.TEST)
    mapper = DatasetMapper(cfg, is_train=False)
    return TrainedModel(model, mapper, names, _class_names(model, names))


def _class_names(model: nn.Module, test_datasets: Sequence[str]) -> list[str]:
    """Names of the first test set, if they are as many as the model has classes."""
    count = int(getattr(model, "num_classes", 0))
    names: Sequence[str] = []
    if test_datasets:
        known = MetadataCatalog.get(test_datasets[0]).get("thing_classes", [])
        names = SHAPES_CLASSES if test_datasets[0] in SHAPES_SPLITS else known
    return list(names) if len(names) == count else [str(index) for index in range(count)]


def model_of_checkpoint(
    weights: str | Path, *, config: str | Path | None = None, device: str | None = None
) -> TrainedModel:
    """Build the model that a checkpoint is of, and load it.

    Args:
        weights: file of the weights.
        config: of the model: a file, or a name of the model zoo. None takes what the checkpoint
            says about itself, as those of ``tools/convert_checkpoint.py`` and of trainings do.
        device: such as "cpu" or "cuda:1"; None for a GPU where there is one.

    Raises:
        FileNotFoundError: no such weights or config.
        CheckpointError: the checkpoint does not say its config, or does not fit the one given.
        ValueError: no such config.
    """
    device = device or default_device()
    metadata, state = read_metadata(weights)
    if config is not None:
        trained = model_of_config(*_named(str(config), device), weights=str(weights))
    elif metadata is None:
        raise CheckpointError(without_config(weights, state))
    elif metadata.config is None and metadata.lazy_config is not None:
        trained = _model_of_lazy_text(metadata.lazy_config, weights, device)
    else:
        cfg = config_of(metadata, weights)
        cfg.MODEL.DEVICE = device
        trained = _model_of_node(cfg, str(weights))
    if metadata is not None and metadata.class_names:
        trained = trained._replace(class_names=metadata.class_names)
    return trained


def _named(config: str, device: str) -> tuple[str, list[str]]:
    """Path of a config file or of a config of the model zoo, and the overrides of the device."""
    path = config if config.endswith((".py", ".yaml", ".yml")) else config_file(config)
    key = ["train.device={}"] if path.endswith(".py") else ["MODEL.DEVICE", "{}"]
    return path, [part.format(device) for part in key]
