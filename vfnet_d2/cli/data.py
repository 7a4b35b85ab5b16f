"""``vfnet data``: commands for datasets."""

import argparse

from vfnet_d2.cli import data_check, data_convert


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of ``vfnet data`` to its parser."""
    parser.description = "Check and convert datasets."
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary, add in (
        ("check", "find what is wrong with a dataset", data_check.add_options),
        ("convert", "write a dataset in another format", data_convert.add_options),
    ):
        add(
            commands.add_parser(
                name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
            )
        )
