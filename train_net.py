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

from vfnet_d2.shapes.dataset import register_shapes
from vfnet_d2.training import from_lazy as lazy
from vfnet_d2.training import from_yaml as trainer
from vfnet_d2.training.launch import argument_parser, launch


def main(args: argparse.Namespace) -> None:
    """Run one process of the job."""
    register_shapes()
    engine = lazy if args.config_file.endswith(".py") else trainer
    engine.run(args)


if __name__ == "__main__":
    launch(main, argument_parser().parse_args())
