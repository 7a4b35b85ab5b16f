"""Tests of vfnet_d2.checkpoint.saved_metadata."""

from pathlib import Path

import pytest
import torch
from detectron2.data import MetadataCatalog
from torch import nn

from tests.helpers.small_model import small_config, small_model
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.checkpoint.saved_metadata import save_metadata

NAME = "saved_metadata_of_a_test"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b", "c", "d", "e"], ["a", "b", "c", "d", "e"]),
        ([], ["0", "1", "2", "3", "4"]),  # a dataset that names none
    ],
)
def test_checkpoints_name_the_classes(
    names: list[str], expected: list[str], tmp_path: Path
) -> None:
    MetadataCatalog.get(NAME).set(thing_classes=names)
    try:
        checkpointer = CheckedCheckpointer(small_model(), str(tmp_path))
        save_metadata(checkpointer, dataset_names=[NAME], cfg=small_config())
    finally:
        MetadataCatalog.remove(NAME)
    checkpointer.save("model")
    assert torch.load(tmp_path / "model.pth", weights_only=True)[ENTRY]["class_names"] == expected


def test_models_of_others_get_none(tmp_path: Path) -> None:
    checkpointer = CheckedCheckpointer(nn.Linear(1, 1), str(tmp_path))
    assert save_metadata(checkpointer, dataset_names=[NAME]) is None
    checkpointer.save("model")
    assert set(torch.load(tmp_path / "model.pth", weights_only=True)) == {"model"}
