"""Oracle analyses of scripted detectors."""

from pathlib import Path
from typing import Any

from detectron2.data import DatasetMapper
from torch import nn

from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.paper.oracle_analysis import analyse

# Images of 160 x 160 pixels: 5 x 5 cells of a scripted detector.
SIZE = 160


def mapper() -> DatasetMapper:
    """Images as they are."""
    return DatasetMapper(is_train=False, augmentations=[], image_format="RGB")


def figures(report: dict[str, Any], metric: str = "AP") -> dict[str, float]:
    """A box AP of each column."""
    return {entry["name"]: entry[metric] for entry in report["oracles"]}


def analysed(model: nn.Module, name: str, folder: Path) -> dict[str, Any]:
    """Report of a model on a registered dataset."""
    return analyse(Predictor.of_model(model, mapper(), test_datasets=[name]), output=folder)
