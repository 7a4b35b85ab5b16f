"""Logs of a run: Detectron2's, with this project's lines among them."""

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

from detectron2.engine import default_setup, defaults
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

# What one who waits for a training wants to read: its plan, its progress and its length.
_SPOKEN = (
    "detectron2.engine.hooks",
    "detectron2.engine.train_loop",
    "detectron2.utils.events",
    "vfnet_d2.finetune",
    "vfnet_d2.training",
    "vfnet_d2.checkpoint.new_classes",
)


def log_setup(
    cfg: Any, args: argparse.Namespace, *, output_dir: str, short_terminal: bool = False
) -> None:
    """Run Detectron2's ``default_setup`` and send this package's log lines to the same places.

    Args:
        cfg: a yacs or LazyConfig config.
        args: of the command line.
        output_dir: where the log file goes.
        short_terminal: show the plan and the progress alone, and what is wrong; the file has
            everything, such as versions, config and model.
    """
    with _plain_text(), _shortened() if short_terminal else contextlib.nullcontext():
        default_setup(cfg, args)
    logger = setup_logger(output_dir, distributed_rank=comm.get_rank(), name="vfnet_d2")
    if short_terminal:
        _shorten(logger)


@contextlib.contextmanager
def _shortened() -> Iterator[None]:
    """Shorten Detectron2's loggers as they are set up: the long listings follow at once."""

    def set_up(*args: Any, **options: Any) -> logging.Logger:
        return _shorten(setup_logger(*args, **options))

    with mock.patch.object(defaults, "setup_logger", set_up):
        yield


def _shorten(logger: logging.Logger) -> logging.Logger:
    """Let a logger's terminal have what is spoken; adding the filter twice changes nothing."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.addFilter(_is_spoken)
    return logger


def _is_spoken(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.startswith(_SPOKEN)


@contextlib.contextmanager
def _plain_text() -> Iterator[None]:
    """Keep Detectron2 from colouring the config it logs.

    Where Pygments is installed, it writes terminal codes into the log file as well.
    """
    if not hasattr(defaults, "_highlight"):
        yield
        return
    with mock.patch.object(defaults, "_highlight", lambda code, filename: code):
        yield
