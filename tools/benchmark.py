#!/usr/bin/env python3
"""Time a detector's training step and inference with each star convolution (``make bench``).

    tools/benchmark.py --config-file configs/quick/vfnet_shapes.yaml
    tools/benchmark.py --config-file configs/vfnet_R_50_1x.yaml --size 512 640 --images 2

The implementations run in turn in one process; the figures are medians, the ratio is over the first
row. Stop everything else that computes before you believe them.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial

import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from tabulate import tabulate

from vfnet_d2 import add_vfnet_config
from vfnet_d2.engine import benchmark
from vfnet_d2.engine.checks import available_device
from vfnet_d2.engine.solver import build_optimizer
from vfnet_d2.layers.star_ops import STAR_CONVS

DEFAULT_CONFIG = "configs/quick/vfnet_shapes.yaml"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default=DEFAULT_CONFIG, metavar="FILE", help="YAML")
    parser.add_argument("--size", nargs=2, type=int, default=[160, 160], metavar=("H", "W"))
    parser.add_argument("--images", type=int, default=8, help="batch size")
    parser.add_argument("--boxes", type=int, default=4, help="ground-truth boxes an image")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides")
    return parser.parse_args()


def main() -> None:
    """Print a table of milliseconds for training and one for inference."""
    arguments = parse_arguments()
    cfg = add_vfnet_config(get_cfg())
    cfg.merge_from_file(arguments.config_file)
    cfg.merge_from_list(arguments.opts)
    cfg.MODEL.DEVICE = available_device(cfg.MODEL.DEVICE)
    height, width = arguments.size
    batch = benchmark.random_batch(
        images=arguments.images,
        height=height,
        width=width,
        boxes=arguments.boxes,
        num_classes=cfg.MODEL.ONE_STAGE.NUM_CLASSES,
    )
    training: dict[str, Callable[[], benchmark.Parts]] = {}
    inference: dict[str, Callable[[], benchmark.Parts]] = {}
    for name in STAR_CONVS:
        cfg.MODEL.ONE_STAGE.HEAD.VFNetHead.STAR_CONV = name
        torch.manual_seed(0)
        trained, tested = build_model(cfg).train(), build_model(cfg).eval()
        optimizer = build_optimizer(cfg, trained)
        training[name] = partial(benchmark.training_step, trained, optimizer, batch)
        inference[name] = partial(benchmark.inference, tested, batch)
    busy = os.getloadavg()[0]
    print(f"{torch.get_num_threads()} threads on {cfg.MODEL.DEVICE}, load {busy:.1f} at the start")
    figures = {}
    for title, jobs in (("training step", training), ("inference", inference)):
        runs = benchmark.interleave(jobs, repeats=arguments.repeats, warmup=arguments.warmup)
        figures[title] = {name: benchmark.medians(parts) for name, parts in runs.items()}
        print_table(
            f"{title}, {arguments.images} x {height} x {width}, milliseconds", figures[title]
        )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(arguments), "seconds": figures}, file, indent=1)


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print medians in milliseconds, a row an implementation."""
    first = next(iter(rows.values()))
    table = [
        [name, *(1000 * value for value in parts.values()), parts["total"] / first["total"]]
        for name, parts in rows.items()
    ]
    print(f"\n{title}\n")
    print(tabulate(table, headers=["star convolution", *first, "ratio"], floatfmt=".1f"))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
