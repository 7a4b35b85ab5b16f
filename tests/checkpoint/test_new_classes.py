"""Tests of vfnet_d2.checkpoint.new_classes."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.small_model import small_config, small_model
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.checkpoint.new_classes import FineTuneCheckpointer
from vfnet_d2.checkpoint.trained import trained_metadata

NAMES = ["a", "b", "c", "d", "e"]
CLASSIFIER = ["head.cls_pred.bias", "head.cls_pred.weight"]


@pytest.fixture(scope="module")
def source() -> nn.Module:
    """The model of the files, of five classes."""
    return small_model(seed=1)


def save(source: nn.Module, path: Path, class_names: list[str] | None = None) -> str:
    """Write a checkpoint, with metadata if there are class names."""
    content = {"model": source.state_dict()}
    if class_names:
        metadata = trained_metadata(source, class_names=class_names, cfg=small_config())
        content[ENTRY] = metadata.as_dict()
    torch.save(content, path)
    return str(path)


def start(path: str, class_names: list[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State of a model before and after it starts from a file."""
    model = small_model("MODEL.ONE_STAGE.NUM_CLASSES", len(class_names), seed=2)
    with torch.no_grad():
        for parameter in model.parameters():  # nothing is equal by chance, such as zeros
            parameter.add_(0.25)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    FineTuneCheckpointer(model, "", class_names=class_names).start_from(path)
    return before, model.state_dict()


def loaded(found: dict[str, Tensor], source: nn.Module) -> list[str]:
    """Parameters that are not those of the source, sorted."""
    names = dict(source.named_parameters())
    return sorted(name for name in names if not torch.equal(found[name], names[name]))


@pytest.mark.parametrize("names_in_file", [None, NAMES])
def test_only_the_classifier_starts_afresh(
    source: nn.Module, names_in_file: list[str] | None, tmp_path: Path
) -> None:
    before, after = start(save(source, tmp_path / "a.pth", names_in_file), ["x", "y", "z"])
    assert loaded(after, source) == CLASSIFIER
    assert all(torch.equal(before[name], after[name]) for name in CLASSIFIER)
    assert after["head.cls_pred.weight"].shape[0] == 3


def test_as_many_other_classes_have_a_new_classifier(source: nn.Module, tmp_path: Path) -> None:
    _, after = start(save(source, tmp_path / "a.pth", NAMES), NAMES[::-1])
    assert loaded(after, source) == CLASSIFIER


@pytest.mark.parametrize("names_in_file", [None, NAMES, ["0", "1", "2", "3", "4"]])
def test_the_same_classes_keep_theirs(
    source: nn.Module, names_in_file: list[str] | None, tmp_path: Path
) -> None:
    _, after = start(save(source, tmp_path / "a.pth", names_in_file), NAMES)
    assert loaded(after, source) == []


def test_the_log_tells_what_is_new_and_why(
    source: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="vfnet_d2"):
        start(save(source, tmp_path / "a.pth", NAMES), ["x", "y"])
    total = sum("num_batches_tracked" not in name for name in source.state_dict())
    line = next(text for text in caplog.messages if "tensors loaded" in text)
    assert f"{total - 2} of {total} tensors loaded; these start afresh: head.cls_pred" in line
    assert "because the file's classes are a, b, c, d and 1 more, and the data's x, y" in line


def test_nothing_is_loaded_without_weights(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vfnet_d2"):
        before, after = start("", NAMES)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "starts from nothing" in caplog.text


def test_weights_of_another_project_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"layer.weight": torch.zeros(3)}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="fits no parameter of VFNet"):
        start(str(tmp_path / "a.pth"), NAMES)


def test_every_layer_of_the_classifier_starts_afresh(
    source: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if a detector predicted classes in two places, here boxes in the second.
    def classifiers(self: nn.Module) -> dict[str, int]:
        return {"head.cls_pred": 1, "head.box_pred": 1}

    monkeypatch.setattr(type(source), "classifiers", classifiers)
    _, after = start(save(source, tmp_path / "a.pth", NAMES), NAMES[::-1])
    assert loaded(after, source) == ["head.box_pred.bias", "head.box_pred.weight", *CLASSIFIER]


def test_a_model_that_does_not_tell_its_classifier_is_refused() -> None:
    with pytest.raises(CheckpointError, match="class Linear, which does not say which of its la"):
        FineTuneCheckpointer(nn.Linear(1, 1), "", class_names=NAMES)
