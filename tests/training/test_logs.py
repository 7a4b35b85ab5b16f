"""Tests of vfnet_d2.training.logs."""

import argparse
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.engine import default_setup
from detectron2.utils import comm

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


@pytest.mark.parametrize(
    ("config", "seed"),
    [
        (lambda output: quick_config("OUTPUT_DIR", str(output), "SEED", "5"), 5),
        (
            lambda output: LazyConfig.apply_overrides(lazy_config(output), ["train.seed=5"]),
            5,
        ),
    ],
    ids=["yaml", "lazy"],
)
def test_random_numbers_start_from_the_seed(config: Any, seed: int, tmp_path: Path) -> None:
    args = argparse.Namespace(config_file="", eval_only=True)
    log_setup(config(tmp_path), args, output_dir=str(tmp_path))
    drawn = torch.rand(1).item()
    torch.manual_seed(seed)
    assert drawn == torch.rand(1).item()


def test_every_rank_has_a_seed_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = argparse.Namespace(config_file="", eval_only=True)
    drawn = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        cfg = quick_config("OUTPUT_DIR", str(tmp_path), "SEED", "5")
        log_setup(cfg, args, output_dir=str(tmp_path))
        drawn.append(torch.rand(1).item())
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("eval_only", "expected"), [(False, True), (True, False)], ids=["train", "evaluate"]
)
@pytest.mark.parametrize("kind", ["yaml", "lazy"])
def test_cudnn_searches_kernels_for_trainings_alone(
    kind: str, eval_only: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    if kind == "yaml":
        cfg: Any = quick_config("OUTPUT_DIR", str(tmp_path), "CUDNN_BENCHMARK", "True")
    else:
        cfg = LazyConfig.apply_overrides(lazy_config(tmp_path), ["+train.cudnn_benchmark=True"])
    args = argparse.Namespace(config_file="", eval_only=eval_only)
    log_setup(cfg, args, output_dir=str(tmp_path))
    assert torch.backends.cudnn.benchmark is expected


def test_a_lazy_config_is_kept_beside_the_log(tmp_path: Path) -> None:
    args = argparse.Namespace(config_file=LAZY, eval_only=True)
    log_setup(lazy_config(tmp_path), args, output_dir=str(tmp_path))
    again = LazyConfig.load(str(tmp_path / "config.yaml"))
    assert again.train.output_dir == str(tmp_path)
    assert again.model._target_ == "vfnet_d2.modeling.dense.detectors.vfnet.VFNet"


@pytest.mark.parametrize(("config", "path"), [(yaml_config, YAML), (lazy_config, LAZY)])
def test_file_and_config_hold_what_detectron2_s_default_setup_leaves(
    tmp_path: Path, config: Any, path: str
) -> None:
    args = argparse.Namespace(config_file=path, eval_only=True)
    texts, configs = [], []
    for name, set_up in (
        ("theirs", default_setup),
        ("ours", lambda cfg, args: log_setup(cfg, args, output_dir=str(tmp_path / "ours"))),
    ):
        for logger in LOGGERS:
            logging.getLogger(logger).handlers.clear()
        set_up(config(tmp_path / name), args)
        text = (tmp_path / name / "log.txt").read_text()
        # Without the codes of Pygments, where it is installed, and the time of each line.
        text = re.sub(r"\x1b\[[\d;]*m", "", text).replace(name, "NAME")
        texts.append(re.sub(r"^\[.*?\] ", "", text, flags=re.MULTILINE))
        configs.append((tmp_path / name / "config.yaml").read_text().replace(name, "NAME"))
    assert configs[0] == configs[1]
    assert texts[0].split() == texts[1].split()
