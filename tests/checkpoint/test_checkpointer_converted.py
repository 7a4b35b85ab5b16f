"""Tests of vfnet_d2.checkpoint.checkpointer with files that the converter wrote."""

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from tests.helpers.checkpoints import METADATA
from tests.helpers.log_lines import log_lines
from tests.helpers.quick_model import LAZY, YAML, quick_model
from tests.helpers.small_model import small_model
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.convert.architecture import model_name, shapes_of
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import write_checkpoint
from vfnet_d2.checkpoint.metadata import Metadata
from vfnet_d2.inference.predictor import load_predictor

LOGGER = "vfnet_d2.checkpoint.checkpointer"


def convert_like(model: nn.Module, path: Path, **changes: Any) -> Metadata:
    """Write a model's weights as the converter does; ``changes`` are of the metadata."""
    name = model_name(shapes_of(model.state_dict()), type(model).__name__)
    metadata = METADATA._replace(architecture=name, num_classes=model.num_classes, **changes)
    state = model.state_dict()
    if metadata.classifier_dropped:
        state = {key: x for key, x in state.items() if "cls_pred" not in key}
    write_checkpoint(path, state, metadata.as_dict())
    return metadata


def assert_equal(model: nn.Module, state: dict[str, Tensor]) -> None:
    for name, tensor in model.state_dict().items():
        assert tensor.equal(state[name]), name


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_converted_file_fills_every_tensor_and_hands_on_its_metadata(
    suffix: str, tmp_path: Path
) -> None:
    model, other = small_model(seed=1), small_model(seed=2)
    metadata = convert_like(model, tmp_path / f"x{suffix}")
    rest = CheckedCheckpointer(other).load_for_evaluation(str(tmp_path / f"x{suffix}"))
    assert_equal(other, model.state_dict())
    assert Metadata.from_dict(rest["vfnet_d2"], "a.pth") == metadata


@pytest.mark.parametrize("config", [YAML, LAZY])
def test_both_config_systems_load_safetensors(config: str, tmp_path: Path) -> None:
    model, path = quick_model(), tmp_path / "x.safetensors"
    convert_like(model, path)
    opts = ["MODEL.WEIGHTS", str(path)]
    if config == LAZY:
        opts = [f"train.init_checkpoint={path}"]
    assert_equal(load_predictor(config, opts).model.cpu(), model.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.ONE_STAGE.NUM_CLASSES", 3], "has 5 classes, but the model has 3 .*drop-classifi"),
        (["MODEL.RESNETS.DEPTH", 34], "a checkpoint of vfnet_R_18, but the model is vfnet_R_34"),
    ],
)
def test_a_converted_file_that_does_not_fit_leaves_the_model_alone(
    options: list[Any], message: str, tmp_path: Path
) -> None:
    convert_like(small_model(), tmp_path / "x.pth")
    model = small_model(*options, seed=2)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(CheckpointError, match=message):
        CheckedCheckpointer(model).load(str(tmp_path / "x.pth"))
    assert_equal(model, before)


@pytest.fixture
def headless(tmp_path: Path) -> tuple[nn.Module, str]:
    """A model of five classes, and a file of its weights without the classifier."""
    model = small_model(seed=1)
    convert_like(model, tmp_path / "x.pth", classifier_dropped=True)
    return model, str(tmp_path / "x.pth")


def test_without_its_classifier_a_file_is_for_fine_tuning(
    headless: tuple[nn.Module, str],
) -> None:
    source, path = headless
    model = small_model("MODEL.ONE_STAGE.NUM_CLASSES", 3, seed=2)
    fresh = {k: x.clone() for k, x in model.state_dict().items() if "cls_pred" in k}
    with log_lines(LOGGER, level=logging.INFO) as lines:
        CheckedCheckpointer(model).load(path)
    assert_equal(model, {**source.state_dict(), **fresh})
    assert any("has no classifier: the model's starts afresh" in line for line in lines)


def test_without_its_classifier_a_file_is_not_evaluated(headless: tuple[nn.Module, str]) -> None:
    model, path = headless
    with pytest.raises(CheckpointError, match=r"does not fill 2 of the .* first head\.cls_pred\."):
        CheckedCheckpointer(model).load_for_evaluation(path)


@pytest.mark.parametrize(("input_format", "warned"), [("RGB", False), ("BGR", True)])
def test_the_wrong_input_convention_is_warned_of(
    input_format: str, warned: bool, tmp_path: Path
) -> None:
    convert_like(small_model(), tmp_path / "x.pth")
    model = small_model("INPUT.FORMAT", input_format)
    with log_lines(LOGGER, level=logging.INFO) as lines:
        CheckedCheckpointer(model).load(str(tmp_path / "x.pth"))
    warnings = [line for line in lines if line.startswith("WARNING")]
    assert len(warnings) == warned
    assert all("x.pth needs images as RGB" in x and "is set to BGR" in x for x in warnings)
