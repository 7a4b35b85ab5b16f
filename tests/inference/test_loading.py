"""Tests of vfnet_d2.inference.loading."""

import logging
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from tests.helpers.checkpoints import save_mmdet, thin_state
from tests.helpers.quick_model import LAZY, YAML, quick_config, quick_model, save_weights
from vfnet_d2.checkpoint.convert.converter import convert_checkpoint
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import read_file, write_checkpoint
from vfnet_d2.checkpoint.metadata import InputConvention
from vfnet_d2.checkpoint.trained import trained_metadata
from vfnet_d2.inference.loading import model_of_checkpoint
from vfnet_d2.shapes.config import SHAPES_CLASSES

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return quick_model()


@pytest.fixture(scope="module")
def plain(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as plain Detectron2 writes it."""
    return save_weights(model, tmp_path_factory.mktemp("weights") / "plain.pth")


def telling(model: nn.Module, path: Path, **changes: object) -> Path:
    """A checkpoint that says what it is."""
    cfg = quick_config("INPUT.MIN_SIZE_TEST", 96)
    metadata = trained_metadata(model, class_names=NAMES, cfg=cfg)._replace(**changes)
    write_checkpoint(path, model.state_dict(), metadata.as_dict())
    return path


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_all_from_the_checkpoint(model: nn.Module, name: str, tmp_path: Path) -> None:
    trained = model_of_checkpoint(telling(model, tmp_path / name), device="cpu")
    assert trained.class_names == NAMES
    assert trained.mapper.augmentations.augs[0].short_edge_length == (96, 96)
    for key, value in trained.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


def test_a_shipped_config_takes_classes_and_convention(model: nn.Module, tmp_path: Path) -> None:
    # Of a converted file, which names configs; the quickstart's has 5 classes like this one.
    convention = InputConvention("BGR", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "somebody")
    changes = {"config": None, "configs": ["quick/gone", "quick/vfnet_shapes"]}
    path = telling(model, tmp_path / "a.pth", input_convention=convention, **changes)
    trained = model_of_checkpoint(path, device="cpu")
    assert (trained.model.input_format, trained.mapper.image_format) == ("BGR", "BGR")
    assert trained.model.pixel_mean.flatten().tolist() == [1, 2, 3]
    assert trained.model.pixel_std.flatten().tolist() == [4, 5, 6]


def test_the_number_of_classes_is_the_checkpoint_s(tmp_path: Path) -> None:
    two = build_model(quick_config("MODEL.ONE_STAGE.NUM_CLASSES", 2))
    metadata = trained_metadata(two, class_names=["x", "y"])
    metadata = metadata._replace(configs=["quick/vfnet_shapes"])
    write_checkpoint(tmp_path / "a.pth", two.state_dict(), metadata.as_dict())
    trained = model_of_checkpoint(tmp_path / "a.pth", device="cpu")
    assert trained.model.num_classes == 2
    assert trained.class_names == ["x", "y"]


def test_a_config_that_is_taken_for_the_tensors_is_told(
    model: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"config": None, "configs": ["quick/vfnet_shapes"]}
    with caplog.at_level(logging.WARNING, logger="vfnet_d2"):
        model_of_checkpoint(telling(model, tmp_path / "a.pth", **changes), device="cpu")
    assert "does not hold the config of its training; its tensors fit the shipped quick" in (
        caplog.text
    )


@pytest.mark.parametrize("config", ["quick/vfnet_shapes", YAML, LAZY])
def test_a_plain_checkpoint_with_its_config(plain: Path, config: str) -> None:
    trained = model_of_checkpoint(plain, config=config, device="cpu")
    assert trained.test_datasets == ["shapes_val"]
    assert trained.class_names == list(SHAPES_CLASSES)


def test_classes_that_nobody_names_are_numbers(model: nn.Module, tmp_path: Path) -> None:
    path = telling(model, tmp_path / "a.pth", class_names=None)
    assert model_of_checkpoint(path, device="cpu").class_names == ["0", "1", "2", "3", "4"]


def test_a_plain_checkpoint_alone_says_what_to_pass(plain: Path) -> None:
    with pytest.raises(CheckpointError, match=r"plain\.pth does not say.*config=FILE_OR_NAME"):
        model_of_checkpoint(plain)


def test_a_checkpoint_of_mmdet_must_be_converted(tmp_path: Path) -> None:
    state = {"bbox_head.vfnet_cls.weight": torch.zeros(5, 64, 3, 3)}
    torch.save({"state_dict": state}, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"tools/convert_checkpoint\.py .*theirs\.pth OUT"):
        model_of_checkpoint(tmp_path / "theirs.pth")


def test_the_shipped_configs_that_fit_are_named(tmp_path: Path) -> None:
    # With mmdet's weights in our names, but nothing said about them.
    theirs = save_mmdet(tmp_path / "theirs.pth", thin_state("vfnet_r50_fpn"))
    convert_checkpoint(theirs, tmp_path / "ours.pth")
    state = read_file(tmp_path / "ours.pth")["model"]
    torch.save({"model": state}, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match=r"fit these shipped ones: .*vfnet_R_50_1x"):
        model_of_checkpoint(tmp_path / "plain.pth")


def test_an_architecture_without_a_config(model: nn.Module, tmp_path: Path) -> None:
    path = telling(model, tmp_path / "a.pth", config=None, configs=[], architecture="vfnet_R_18")
    with pytest.raises(CheckpointError, match="is of vfnet_R_18, of which no config is shipped"):
        model_of_checkpoint(path)


def test_a_checkpoint_without_its_classifier(model: nn.Module, tmp_path: Path) -> None:
    metadata = trained_metadata(model, class_names=NAMES, cfg=quick_config())
    state = {k: v for k, v in model.state_dict().items() if "cls_pred" not in k}
    dropped = metadata._replace(classifier_dropped=True).as_dict()
    write_checkpoint(tmp_path / "a.pth", state, dropped)
    with pytest.raises(CheckpointError, match=r"first head\.cls_pred"):
        model_of_checkpoint(tmp_path / "a.pth", device="cpu")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weights": "none.pth"}, FileNotFoundError, r"checkpoint none\.pth does not exist"),
        ({"config": "none.yaml"}, FileNotFoundError, r"config none\.yaml does not exist"),
        ({"config": "quick/none"}, ValueError, "no config 'quick/none'"),
    ],
)
def test_what_does_not_exist(plain: Path, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        model_of_checkpoint(**{"weights": plain, **options})
