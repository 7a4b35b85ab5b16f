"""The command line of ``train_net.py``: mistakes in one line, and what processes share."""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import Any

from detectron2.utils import comm
from torch import multiprocessing as mp

from vfnet_d2.training.launch import argument_parser, launch
from vfnet_d2.utils.errors import UserError

USAGE_STATUS = 2


def run_command_line(main: Callable[[argparse.Namespace], Any]) -> None:
    """Run ``main(args)`` in the processes that the command line asks for.

    A mistake of the user's is one line and the exit status 2; ``--debug`` shows its traceback.
    """
    args = argument_parser().parse_args()
    if args.debug:
        launch(main, args)
        return
    try:
        launch(functools.partial(_in_one_line, main), args)
    except mp.ProcessExitedException as error:  # one of several has said why
        raise SystemExit(error.exit_code or 1) from None
    except (OSError, ValueError) as error:
        _say(error)
        raise SystemExit(USAGE_STATUS) from None


def _in_one_line(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> None:
    try:
        main(args)
    except (OSError, ValueError) as error:
        _say(error)
        raise SystemExit(USAGE_STATUS) from None


def _say(error: Exception) -> None:
    rank = f" (process {comm.get_rank()})" if comm.get_world_size() > 1 else ""
    hint = "" if isinstance(error, UserError) else " (--debug shows where)"
    print(f"train_net.py: error{rank}: {error}{hint}", file=sys.stderr)


def check_batch_size(size: int, *, key: str) -> None:
    """Raise UserError if a batch cannot be shared evenly by the processes.

    Args:
        size: images in a batch, of all processes together.
        key: the config key that says so.
    """
    processes = comm.get_world_size()
    if size % processes or size < processes:
        near = max(round(size / processes), 1) * processes
        raise UserError(
            f"{key} is {size}, which {processes} processes cannot share evenly: take a multiple of "
            f"{processes}, such as {near}, or another number of processes"
        )
