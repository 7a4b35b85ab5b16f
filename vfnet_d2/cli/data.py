"""``vfnet data``: commands for datasets."""

import argparse
from typing import Any

from vfnet_d2.cli import data_check, data_convert

COMMANDS = (data_check, data_convert)


def add_command(subparsers: Any) -> None:
    """Add ``data`` with its own subcommands to the parser of ``vfnet``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "data", help="check and convert datasets", description="Check and convert datasets."
    )
    own = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_command(own)
