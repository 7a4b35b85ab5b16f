"""Tests of vfnet_d2.finetune.config."""

import logging
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.checkpoints import METADATA, save_mmdet, thin_state
from tests.helpers.quick_model import LAZY, YAML, quick_config
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.checkpoint.trained import config_text
from vfnet_d2.finetune.config import merge_options, starting_config


def save(path: Path, metadata: Metadata | None) -> str:
    """Write a checkpoint of a tensor, which says no more than its metadata do."""
    content = {"model": {"head.cls_pred.weight": torch.zeros(2, 1)}}
    torch.save(content if metadata is None else {**content, ENTRY: metadata.as_dict()}, path)
    return str(path)


@pytest.mark.parametrize("config", ["quick/vfnet_shapes", YAML])
def test_a_name_and_a_file_of_one_config(config: str) -> None:
    cfg = starting_config(config=config)
    assert cfg.SOLVER.OPTIMIZER == "AdamW"
    assert cfg.MODEL.WEIGHTS == ""


def test_weights_take_the_place_of_the_configs(tmp_path: Path) -> None:
    weights = save(tmp_path / "a.pth", None)
    model = starting_config(config="vfnet_R_50_1x", weights=weights).MODEL
    assert weights == model.WEIGHTS


def test_a_converted_checkpoint_names_its_config(tmp_path: Path) -> None:
    weights = save(tmp_path / "a.pth", METADATA)  # of vfnet_R_50_1x, with two classes
    cfg = starting_config(weights=weights)
    assert (cfg.MODEL.RESNETS.DEPTH, cfg.SOLVER.MAX_ITER) == (50, 90000)
    assert cfg.MODEL.ONE_STAGE.NUM_CLASSES == 2
    assert weights == cfg.MODEL.WEIGHTS


def test_the_checkpoint_of_a_training_holds_its_config(tmp_path: Path) -> None:
    # Also its solver, whatever the shipped configs say that it names.
    cfg = quick_config("INPUT.MIN_SIZE_TEST", 192, "SOLVER.BASE_LR", 0.125)
    metadata = METADATA._replace(configs=["vfnet_R_50_1x"], config=config_text(cfg))
    found = starting_config(weights=save(tmp_path / "a.pth", metadata))
    assert (found.INPUT.MIN_SIZE_TEST, found.MODEL.RESNETS.DEPTH) == (192, 18)
    assert (found.SOLVER.OPTIMIZER, found.SOLVER.BASE_LR) == ("AdamW", 0.125)


def test_mixed_precision_is_not_the_checkpoint_s(tmp_path: Path) -> None:
    metadata = METADATA._replace(config=config_text(quick_config("SOLVER.AMP.ENABLED", True)))
    assert not starting_config(weights=save(tmp_path / "a.pth", metadata)).SOLVER.AMP.ENABLED


def test_of_a_lazy_training_the_yaml_config_of_the_architecture_is_taken_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = METADATA._replace(lazy_config="model: {}", configs=["quick/gone", "vfnet_R_50_1x"])
    with caplog.at_level(logging.WARNING, logger="vfnet_d2"):
        cfg = starting_config(weights=save(tmp_path / "a.pth", metadata))
    assert starting_config(config="vfnet_R_50_1x").SOLVER == cfg.SOLVER
    assert "trained by a LazyConfig, which vfnet train does not take" in caplog.text
    assert "of vfnet_R_50, vfnet_R_50_1x. Name another" in caplog.text


def without_solver(text: str) -> str:
    """What version 0.1.0 recorded of a config."""
    return yaml.safe_dump({k: v for k, v in yaml.safe_load(text).items() if k != "SOLVER"})


@pytest.mark.parametrize(
    ("configs", "solver", "told"),
    [
        (["quick/gone", "quick/vfnet_shapes"], "quick/vfnet_shapes", False),
        (["quick/gone"], "vfnet_R_50_1x", True),
        ([], "vfnet_R_50_1x", True),
    ],
)
def test_without_a_recorded_solver_it_is_a_shipped_config_s(
    configs: list[str], solver: str, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = without_solver(config_text(quick_config()))
    weights = save(tmp_path / "a.pth", METADATA._replace(configs=configs, config=text))
    with caplog.at_level(logging.WARNING, logger="vfnet_d2"):
        found = starting_config(weights=weights)
    assert starting_config(config=solver).SOLVER == found.SOLVER
    line = f"{weights} does not say how it was trained: optimizer and learning rate are those of "
    assert [line + solver in message for message in caplog.messages] == [True] * told


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ValueError, "name a checkpoint with --weights"),
        ({"weights": "nowhere.pth"}, FileNotFoundError, "nowhere.pth does not exist"),
        ({"config": "nowhere.yaml"}, FileNotFoundError, "nowhere.yaml does not exist"),
        ({"config": "nowhere"}, ValueError, "no config 'nowhere'"),
        ({"config": LAZY}, ValueError, "name its YAML twin"),
    ],
)
def test_what_is_not_there(options: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        starting_config(**options)


def test_a_checkpoint_that_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.pth does not say .* --config-file"):
        starting_config(weights=save(tmp_path / "a.pth", None))


def test_a_file_of_mmdet(tmp_path: Path) -> None:
    weights = save_mmdet(tmp_path / "a.pth", thin_state("vfnet_r50_fpn"))
    with pytest.raises(CheckpointError, match=r"convert_checkpoint\.py"):
        starting_config(weights=str(weights))


def test_a_model_of_detectron2(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("MODEL:\n  META_ARCHITECTURE: RetinaNet\n")
    with pytest.raises(ValueError, match=r"META_ARCHITECTURE is 'RetinaNet'"):
        starting_config(config=str(path))


def test_options_are_parsed_as_in_detectron2() -> None:
    cfg = quick_config()
    given = merge_options(cfg, ["SOLVER.BASE_LR", "0.5", "INPUT.MIN_SIZE_TRAIN", "(1, 2)"])
    assert given == {"SOLVER.BASE_LR": 0.5, "INPUT.MIN_SIZE_TRAIN": (1, 2)}
    assert cfg.SOLVER.BASE_LR == 0.5


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["SOLVER.BASE_LR"], "'SOLVER.BASE_LR' has no value"),
        (["SOLVER.LR", "1"], "--opts SOLVER.LR 1: .*SOLVER.LR"),
        (["SOLVER.STEPS", "x"], "--opts SOLVER.STEPS x"),
    ],
)
def test_options_that_cannot_be(opts: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        merge_options(quick_config(), opts)
