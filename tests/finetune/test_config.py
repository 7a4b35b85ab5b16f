"""Tests of vfnet_d2.finetune.config."""

from pathlib import Path

import pytest
import torch

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


@pytest.mark.parametrize(
    ("configs", "optimizer"),
    [([], "AdamW"), (["quick/vfnet_shapes"], "AdamW"), (["vfnet_R_50_1x"], "SGD")],
)
def test_the_checkpoint_of_a_training_holds_its_config(
    configs: list[str], optimizer: str, tmp_path: Path
) -> None:
    metadata = METADATA._replace(
        configs=configs, config=config_text(quick_config("INPUT.MIN_SIZE_TEST", 192))
    )
    cfg = starting_config(weights=save(tmp_path / "a.pth", metadata))
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.MODEL.RESNETS.DEPTH) == (192, 18)
    assert optimizer == cfg.SOLVER.OPTIMIZER


@pytest.mark.parametrize(
    ("changed", "solver"),
    [
        # Other classes, weights and images leave the model as it is.
        (["MODEL.ONE_STAGE.NUM_CLASSES", 9, "MODEL.WEIGHTS", "b.pth"], "quick/vfnet_shapes"),
        (["INPUT.MIN_SIZE_TRAIN", (320,)], "quick/vfnet_shapes"),
        # A model that no shipped config has.
        (["MODEL.FPN.OUT_CHANNELS", 32], "vfnet_R_50_1x"),
    ],
)
def test_a_checkpoint_is_trained_as_the_config_of_the_same_model(
    changed: list, solver: str, tmp_path: Path
) -> None:
    metadata = METADATA._replace(configs=[], config=config_text(quick_config(*changed)))
    found = starting_config(weights=save(tmp_path / "a.pth", metadata))
    assert starting_config(config=solver).SOLVER == found.SOLVER


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
