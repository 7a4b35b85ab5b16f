"""Tests of vfnet_d2.checkpoint.trained."""

import logging
from pathlib import Path

import pytest
import yaml

from tests.helpers.log_lines import log_lines
from tests.helpers.quick_model import quick_config, quick_model
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import read_file
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.checkpoint.strip import strip_checkpoint
from vfnet_d2.checkpoint.trained import (
    SavedMetadata,
    config_from_text,
    config_text,
    set_num_classes,
    trained_metadata,
)

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def metadata() -> Metadata:
    return trained_metadata(quick_model(), class_names=NAMES, cfg=quick_config())


def test_says_classes_and_input_convention(metadata: Metadata) -> None:
    assert (metadata.detector, metadata.num_classes, metadata.class_names) == ("VFNet", 5, NAMES)
    convention = metadata.input_convention
    assert convention.input_format == "RGB"
    assert convention.pixel_mean == pytest.approx((123.675, 116.28, 103.53))
    assert convention.pixel_std == pytest.approx((58.395, 57.12, 57.375))


def test_says_what_depends_on_the_classes(metadata: Metadata) -> None:
    assert metadata.classifiers == {"head.cls_pred": 1}
    assert metadata.num_classes_key == "MODEL.ONE_STAGE.NUM_CLASSES"


def test_the_number_of_classes_goes_where_the_detector_reads_it() -> None:
    cfg = quick_config()
    set_num_classes(cfg, 7)
    assert cfg.MODEL.ONE_STAGE.NUM_CLASSES == 7
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    with pytest.raises(CheckpointError, match="GeneralizedRCNN, which does not say which key"):
        set_num_classes(cfg, 7)


def test_the_config_survives_where_predictions_need_it(metadata: Metadata) -> None:
    found = config_from_text(metadata.config or "", "a.pth")
    expected = quick_config()
    for section in ("MODEL", "INPUT", "TEST", "SOLVER"):
        for node in (found, expected):
            node.MODEL.WEIGHTS = node.MODEL.DEVICE = ""
        assert yaml.safe_load(found[section].dump()) == yaml.safe_load(expected[section].dump())


def test_the_config_names_no_paths() -> None:
    cfg = quick_config("MODEL.WEIGHTS", "/secret/a.pth", "OUTPUT_DIR", "/secret/out")
    cfg.DATASETS.TRAIN = ("secret",)
    text = config_text(cfg)
    assert "secret" not in text
    assert yaml.safe_load(text).keys() == {"MODEL", "INPUT", "TEST", "SOLVER", "TRAINING"}


def test_saved_with_every_checkpoint_and_kept_by_strip(metadata: Metadata, tmp_path: Path) -> None:
    checkpointer = CheckedCheckpointer(quick_model(), str(tmp_path))
    checkpointer.add_checkpointable(ENTRY, SavedMetadata(metadata))
    checkpointer.save("model", iteration=3)
    strip_checkpoint(tmp_path / "model.pth", tmp_path / "small.pth")
    for name in ("model.pth", "small.pth"):
        assert Metadata.from_dict(read_file(tmp_path / name)[ENTRY], name) == metadata


def test_a_training_resumes_from_it(metadata: Metadata, tmp_path: Path) -> None:
    for start in (False, True):
        checkpointer = CheckedCheckpointer(quick_model(), str(tmp_path))
        checkpointer.add_checkpointable(ENTRY, SavedMetadata(metadata))
        rest = checkpointer.resume_or_load("", resume=start)
        assert rest.get("iteration", 0) == (3 if start else 0)
        checkpointer.save("model", iteration=3)


def test_another_number_of_names() -> None:
    with pytest.raises(CheckpointError, match="2 class names are given, but the model has 5"):
        trained_metadata(quick_model(), class_names=["a", "b"])


@pytest.mark.parametrize("text", ["MODEL: {NO_SUCH_KEY: 1}", "[", "MODEL: {RESNETS: 3}", "3"])
def test_a_config_that_is_not_understood(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"the config in a\.pth cannot be understood"):
        config_from_text(text, "a.pth")


def test_a_config_runs_nothing() -> None:
    text = 'MODEL: !!python/object/apply:os.system ["false"]'
    with pytest.raises(CheckpointError, match="could not determine a constructor"):
        config_from_text(text, "a.pth")


def test_keys_of_an_earlier_version_are_left_out_in_silence(metadata: Metadata) -> None:
    """Every old checkpoint has all of them, with the values that were the defaults."""
    old = yaml.safe_load(metadata.config or "")
    expected = config_text(config_from_text(metadata.config or "", "a.pth"))
    node = old["MODEL"]["ONE_STAGE"]
    node |= {"FOLD_NORMS": True, "MEMORY_FORMAT": "auto", "CANDIDATE_UNIT": "pairs_of_all"}
    node["HEAD"]["VFNetHead"]["STAR_CONV"] = "auto"
    node["MATCHER"]["ATSSMatcher"] |= {"SEARCH": "window", "SIZE_DIVISIBILITY": 32}
    with log_lines("yacs.config", level=logging.WARNING) as lines:
        found = config_from_text(yaml.safe_dump(old), "a.pth")
    assert lines == []
    assert config_text(found) == expected
