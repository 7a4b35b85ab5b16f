"""The command ``vfnet`` and its subcommands."""

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence

from vfnet_d2.utils.errors import UserError
from vfnet_d2.utils.memory import keep_freed_memory
from vfnet_d2.utils.noise import silence_libraries
from vfnet_d2.utils.requirements import MissingDetectron2Error

# Each subcommand is the module of its name beside this one, with `add_options(parser)`, which also
# sets the default `run`: a function of the parsed arguments that returns the exit status. Only the
# one that is asked for is imported, and what its `run` needs only when that runs: PyTorch alone
# takes seconds, and a help text or a typing mistake should not wait for it.
COMMANDS = {
    "data": "check and convert datasets",
    "train": "fine-tune a detector on a dataset",
    "eval": "evaluate a model or detections, with a report",
    "predict": "detect objects in images, videos and camera pictures",
}

# What is the user's to correct: shown without a traceback.
EXPECTED = (UserError, MissingDetectron2Error, OSError)
USAGE_STATUS = 2
INTERRUPTED_STATUS = 130  # what shells give for Ctrl-C


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser of ``vfnet``, complete for one subcommand; the others it only lists."""
    parser = argparse.ArgumentParser(
        prog="vfnet", description="Detectors of the VarifocalNet family, from data to report."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        own = subparsers.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == command:
            importlib.import_module(f"vfnet_d2.cli.{name}").add_options(own)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    0: done; 1: done, with problems to look at; 2: nothing was done, the message says why.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    silence_libraries()
    keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and classes may hold what the terminal's encoding cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser(words[0] if words else None).parse_args(words)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        # The reader of a pipe, such as head, has seen enough; keep Python from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE_STATUS
    except KeyboardInterrupt:
        print("vfnet: interrupted", file=sys.stderr)
        return INTERRUPTED_STATUS
    except EXPECTED as error:
        print(f"vfnet: error: {error}", file=sys.stderr)
        return USAGE_STATUS
