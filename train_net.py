#!/usr/bin/env python3
r"""Train and evaluate vfnet_d2's detectors from YAML and LazyConfig files.

    train_net.py --config-file configs/vfnet_R_50_1x.yaml --num-gpus 8
    train_net.py --config-file configs/quick/vfnet_shapes.yaml --eval-only \
        MODEL.WEIGHTS vfnet_d2/assets/vfnet_shapes.pth
    train_net.py --config-file configs/quick/vfnet_shapes.py --eval-only \
        train.init_checkpoint=vfnet_d2/assets/vfnet_shapes.pth

Overrides stand at the end: "KEY VALUE" pairs for YAML, "key=value" for LazyConfig.
"""

import argparse

from vfnet_d2.utils.memory import keep_freed_memory
from vfnet_d2.utils.noise import silence_libraries

# Also in the processes that are spawned, which import this file first. What needs PyTorch is
# imported afterwards, in the functions.
silence_libraries()


def main(args: argparse.Namespace) -> None:
    """Run one process of the job."""
    keep_freed_memory()
    from vfnet_d2.shapes.dataset import register_shapes
    from vfnet_d2.training import from_lazy, from_yaml

    register_shapes()
    engine = from_lazy if args.config_file.endswith(".py") else from_yaml
    engine.run(args)


def start() -> None:
    """Start the processes that the command line asks for."""
    from vfnet_d2.training.command_line import run_command_line

    run_command_line(main)


if __name__ == "__main__":
    start()
