"""Options that say which dataset is meant, shared by the subcommands."""

import argparse

from vfnet_d2.data.formats.opening import FORMATS


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Add the dataset's path, ``--format`` and ``--root``."""
    parser.add_argument("path", metavar="PATH", help="folder of the dataset, or annotation file")
    parser.add_argument(
        "--format",
        dest="format_name",
        choices=sorted(FORMATS),
        help="format of the annotations; found by looking at PATH if not given",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="folder below which all images lie, if it is not the usual one",
    )
