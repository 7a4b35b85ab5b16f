"""Predictions for single images, from a config of either system."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import DatasetMapper
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.engine.checks import available_device


class Predictor:
    """A model in evaluation mode with the preprocessing of its test set.

    Args:
        model: a Detectron2 model.
        mapper: makes a model input of a dataset dict with "file_name".
        test_datasets: names of the config's test sets, the first of which names the classes.
    """

    def __init__(
        self,
        model: nn.Module,
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        test_datasets: Sequence[str],
    ) -> None:
        self.model = model.eval()
        self.mapper = mapper
        self.test_datasets = list(test_datasets)

    @torch.no_grad()
    def __call__(self, dataset_dict: dict[str, Any]) -> Instances:
        """Detect objects in the image ``dataset_dict["file_name"]``.

        Returns:
            ``Instances`` on the CPU, in the coordinates of the image file.
        """
        inputs = self.mapper(dict(dataset_dict))
        return self.model([inputs])[0]["instances"].to("cpu")


def load_predictor(config_file: str, opts: Sequence[str] = ()) -> Predictor:
    """Build the model of a YAML or LazyConfig file, load its weights, and wrap both.

    Args:
        config_file: path of the config.
        opts: overrides in the config's system; the weights are among them
            (``MODEL.WEIGHTS FILE`` or ``train.init_checkpoint=FILE``).
    """
    if config_file.endswith(".py"):
        lazy = LazyConfig.apply_overrides(LazyConfig.load(config_file), list(opts))
        model = instantiate(lazy.model).to(available_device(lazy.train.device))
        weights, names = lazy.train.init_checkpoint, lazy.dataloader.test.dataset.names
        mapper = instantiate(lazy.dataloader.test.mapper)
    else:
        cfg = add_vfnet_config(get_cfg())
        cfg.merge_from_file(config_file)
        cfg.merge_from_list(list(opts))
        cfg.MODEL.DEVICE = available_device(cfg.MODEL.DEVICE)
        model = build_model(cfg)
        weights, names = cfg.MODEL.WEIGHTS, cfg.DATASETS.TEST
        mapper = DatasetMapper(cfg, is_train=False)
    CheckedCheckpointer(model).load_for_evaluation(weights)
    return Predictor(model, mapper, test_datasets=[names] if isinstance(names, str) else names)
