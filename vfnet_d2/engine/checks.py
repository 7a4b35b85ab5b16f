"""Checks before the first iteration: a mistake costs seconds here and days later."""

import logging
from collections.abc import Sequence

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from vfnet_d2.components import lookup_name
from vfnet_d2.data.dataset import check_dataset_files

logger = logging.getLogger(__name__)


def available_device(wanted: str) -> str:
    """Return ``wanted``, or "cpu" with a warning where it asks for CUDA and there is none."""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("No CUDA device is available: running on the CPU instead of %r.", wanted)
        return "cpu"
    return wanted


def default_device() -> str:
    """Return "cuda" where there is a GPU, else "cpu": for callers whom nobody told a device."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_num_classes(num_classes: int, dataset_names: Sequence[str], *, key: str) -> None:
    """Compare the model's classes with those of every dataset.

    Args:
        num_classes: of the model.
        dataset_names: registered datasets; load them first, since loading fills in their classes.
        key: the config key that sets ``num_classes``.

    Raises:
        ValueError: they differ; names both.
    """
    for name in dataset_names:
        classes = MetadataCatalog.get(name).get("thing_classes")
        if classes is not None and len(classes) != num_classes:
            shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
            raise ValueError(
                f"{key} is {num_classes}, but dataset {name!r} has {len(classes)} classes "
                f"({shown}); set {key} to {len(classes)}"
            )


def check_test_sets(names: Sequence[str]) -> None:
    """Find out before a training what its first evaluation, hours later, would stop at.

    Args:
        names: of the test sets.

    Raises:
        ValueError: one is not registered; lists the registered ones.
        FileNotFoundError: annotation file or image folder of one are missing.
    """
    for name in names:
        lookup_name(DatasetCatalog, name, key="a test set of the config")
        check_dataset_files(name)
