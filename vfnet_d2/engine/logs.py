"""Logs of a run: Detectron2's, with this project's lines among them."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from detectron2.engine import default_setup, defaults
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger


def log_setup(cfg: Any, args: argparse.Namespace, *, output_dir: str) -> None:
    """Run Detectron2's ``default_setup`` and send this package's log lines to the same places.

    Args:
        cfg: a yacs or LazyConfig config.
        args: of the command line.
        output_dir: where the log file goes.
    """
    with _plain_text():
        default_setup(cfg, args)
    setup_logger(output_dir, distributed_rank=comm.get_rank(), name="vfnet_d2")


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
