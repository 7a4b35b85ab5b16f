"""Options that say how images are looked at, shared by the subcommands."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from vfnet_d2.utils.choices import AMP_PRECISIONS, SOFT_NMS_METHODS

# Of the options below, those that do nothing unless they are given.
LOOKING = ("soft_nms", "tta", "tile", "amp")


_OVERLAP = 0.2  # of tiles, unless another is given


def add_inference_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--amp``, ``--soft-nms``, ``--tta``, ``--tile`` and ``--tile-overlap``."""
    parser.add_argument(
        "--amp",
        choices=sorted(AMP_PRECISIONS),
        help="mixed precision: faster for large models, on CPUs where they multiply bfloat16; "
        "scores and boxes change slightly",
    )
    group = parser.add_argument_group("better, and slower")
    group.add_argument(
        "--soft-nms",
        choices=sorted(SOFT_NMS_METHODS),
        nargs="?",
        const="linear",
        help="overlapping boxes lose score instead of going (linear if no method is named)",
    )
    group.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: four sizes, from the config's to 1.5 times that, each also "
        "mirrored",
    )
    group.add_argument(
        "--tile",
        metavar="PIXELS",
        type=count,
        help="also look at overlapping tiles of this side: for objects that are small in a large "
        "image",
    )
    group.add_argument(
        "--tile-overlap",
        metavar="PART",
        type=_overlap,
        help="of neighbouring tiles; objects below this part of a tile are whole in one "
        f"(default: {_OVERLAP})",
    )


def inference_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of :class:`~vfnet_d2.inference.predictor.Predictor`."""
    return {
        "amp": arguments.amp,
        "soft_nms": arguments.soft_nms,
        "tta": arguments.tta,
        "tile": arguments.tile,
        "tile_overlap": _OVERLAP if arguments.tile_overlap is None else arguments.tile_overlap,
    }


def say_ineffective(useless: Mapping[str, bool]) -> None:
    """Say on the terminal which options change nothing as they are combined.

    Args:
        useless: sentences, and whether each holds.
    """
    for sentence, holds in useless.items():
        if holds:
            print(f"vfnet: note: {sentence}", file=sys.stderr)


def overlap_alone(arguments: argparse.Namespace) -> dict[str, bool]:
    """For :func:`say_ineffective`: an overlap of tiles, of which there are none."""
    alone = arguments.tile is None and arguments.tile_overlap is not None
    return {"--tile-overlap has no effect without --tile": alone}


def count(text: str) -> int:
    """A number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def part(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _overlap(text: str) -> float:
    value = part(text)
    if value == 1:
        raise argparse.ArgumentTypeError("tiles that overlap entirely do not cover an image")
    return value
