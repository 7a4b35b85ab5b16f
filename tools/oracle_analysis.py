#!/usr/bin/env python3
r"""Show what each part of a trained detector's output costs in AP, and how well its scores rank.

    tools/oracle_analysis.py --config-file configs/quick/vfnet_shapes.yaml --num-gpus 0 \
        MODEL.WEIGHTS vfnet_d2/assets/vfnet_shapes.pth
    tools/oracle_analysis.py --config-file CONFIG.py --output DIR train.init_checkpoint=FILE

The oracles of the VarifocalNet paper's Table 1: at the foreground points of the config's first test
set, centerness, boxes or class scores are replaced by what the ground truth says. The ranking
report compares scores with IoUs. Overrides stand at the end, as in train_net.py.
"""

import argparse
import sys
from pathlib import Path

from vfnet_d2.paper.oracle_analysis import analyse_config
from vfnet_d2.paper.oracle_report import format_report
from vfnet_d2.shapes.dataset import register_shapes


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="YAML or LazyConfig")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/oracle_analysis"),
        metavar="DIR",
        help="where tables and pictures go",
    )
    parser.add_argument(
        "--num-gpus", type=int, choices=(0, 1), default=1, help="0 runs on the CPU in any case"
    )
    parser.add_argument(
        "--num-workers", type=int, default=0, metavar="N", help="processes that read images"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides")
    return parser.parse_args()


def main() -> None:
    """Print the tables and say where the files are."""
    arguments = parse_arguments()
    register_shapes()
    report = analyse_config(
        arguments.config_file,
        arguments.opts,
        arguments.output,
        num_gpus=arguments.num_gpus,
        num_workers=arguments.num_workers,
    )
    print(format_report(report))
    print(f"tables and pictures are in {arguments.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
