#!/usr/bin/env python3
"""Write a checkpoint's weights without optimizer and schedule: a third of the size, for sharing.

tools/strip_checkpoint.py output/demo/model_final.pth vfnet_d2/assets/vfnet_shapes.pth
"""

import argparse
import sys

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.strip import strip_checkpoint


def main() -> None:
    """Strip a checkpoint and say how large the result is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="checkpoint of a training run")
    parser.add_argument("target", help="file to write")
    arguments = parser.parse_args()
    try:
        size = strip_checkpoint(arguments.source, arguments.target)
    except (CheckpointError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{arguments.target}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
