"""Tests of vfnet_d2.training.logs."""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import LazyConfig

from tests.helpers.quick_model import LAZY, YAML, quick_config
from vfnet_d2.training.logs import log_setup

LOGGERS = ("detectron2", "fvcore", "vfnet_d2")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Logging is set up for the process; other tests expect it as it was."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(lg, lg.handlers[:], lg.level, lg.propagate) for lg in loggers]
    for logger in loggers:
        # What an earlier training left would show everything.
        logger.handlers.clear()
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


def yaml_config(output: Path) -> Any:
    return quick_config("OUTPUT_DIR", str(output))


def lazy_config(output: Path) -> Any:
    return LazyConfig.apply_overrides(LazyConfig.load(LAZY), [f"train.output_dir={output}"])


@pytest.mark.parametrize(("config", "path"), [(yaml_config, YAML), (lazy_config, LAZY)])
def test_lines_of_all_three_packages_reach_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: Any, path: str
) -> None:
    args = argparse.Namespace(config_file=path, eval_only=True)
    log_setup(config(tmp_path), args, output_dir=str(tmp_path))
    for name in LOGGERS:
        logging.getLogger(f"{name}.somewhere").info("a line of %s", name)
    text = (tmp_path / "log.txt").read_text()
    terminal = capsys.readouterr().out
    for name in LOGGERS:
        # Once each: a second handler would say everything twice.
        assert text.count(f"a line of {name}\n") == 1, name
        assert terminal.count(f"a line of {name}\n") == 1, name
    assert "vfnet_d2.somewhere INFO: a line of vfnet_d2" in text


def test_a_short_terminal_shows_plan_progress_and_warnings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = argparse.Namespace(config_file=YAML, eval_only=True)
    log_setup(yaml_config(tmp_path), args, output_dir=str(tmp_path), short_terminal=True)
    spoken = ("detectron2.utils.events", "vfnet_d2.finetune.job")
    silent = ("detectron2.data.build", "fvcore.common.checkpoint", "vfnet_d2.layers.deform.backend")
    for name in (*spoken, *silent):
        logging.getLogger(name).info("a line of %s", name)
        logging.getLogger(name).warning("a warning of %s", name)
    terminal, file = capsys.readouterr().out, (tmp_path / "log.txt").read_text()
    for name in (*spoken, *silent):
        assert terminal.count(f"a line of {name}\n") == (name in spoken), name
        assert terminal.count(f"a warning of {name}\n") == 1, name
        assert file.count(f"a line of {name}\n") == 1, name
    # Neither versions nor config nor command line.
    assert len(terminal.splitlines()) == 2 * len(spoken) + len(silent)
    assert "PyTorch built with" in file and "META_ARCHITECTURE: VFNet" in file


def test_the_config_is_kept_beside_the_log(tmp_path: Path) -> None:
    args = argparse.Namespace(config_file=YAML, eval_only=True)
    log_setup(yaml_config(tmp_path), args, output_dir=str(tmp_path))
    again = quick_config()
    again.merge_from_file(str(tmp_path / "config.yaml"))
    expected = yaml_config(tmp_path)
    assert again.OUTPUT_DIR == expected.OUTPUT_DIR
    assert again.MODEL.ONE_STAGE == expected.MODEL.ONE_STAGE
    assert again.SOLVER == expected.SOLVER
    assert f"Contents of args.config_file={YAML}" in (tmp_path / "log.txt").read_text()


def test_the_seed_of_the_config_is_set(tmp_path: Path) -> None:
    args = argparse.Namespace(config_file=YAML, eval_only=True)
    drawn = []
    for _ in range(2):
        log_setup(yaml_config(tmp_path), args, output_dir=str(tmp_path))
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(("config", "path"), [(yaml_config, YAML), (lazy_config, LAZY)])
def test_the_log_file_has_no_terminal_codes(tmp_path: Path, config: Any, path: str) -> None:
    args = argparse.Namespace(config_file=path, eval_only=True)
    log_setup(config(tmp_path), args, output_dir=str(tmp_path))
    text = (tmp_path / "log.txt").read_text()
    assert "Contents of args.config_file" in text
    assert "\x1b[" not in text
