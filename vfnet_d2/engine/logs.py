"""Logs of a run: Detectron2's, with this project's lines among them."""

import argparse
from typing import Any

from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger


def log_setup(cfg: Any, args: argparse.Namespace, *, output_dir: str) -> None:
    """Run Detectron2's ``default_setup`` and send this package's log lines to the same places.

    Args:
        cfg: a yacs or LazyConfig config.
        args: of the command line.
        output_dir: where the log file goes.
    """
    default_setup(cfg, args)
    setup_logger(output_dir, distributed_rank=comm.get_rank(), name="vfnet_d2")
