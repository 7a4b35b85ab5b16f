#!/usr/bin/env python3
"""Convert a checkpoint of mmdet (2.x, 3.x) or of the authors' repositories into ours, or back.

    tools/convert_checkpoint.py vfnet_r50_fpn_1x_coco.pth vfnet_R_50_1x.safetensors
    tools/convert_checkpoint.py --to mmdet output/model_final.pth for_mmdet.pth
    tools/convert_checkpoint.py --to chensnathan output/yolof.pth for_their_yolof.pth
    tools/convert_checkpoint.py --drop-classifier vfnet_R_50_1x.pth to_fine_tune.pth

"chensnathan" are the names of github.com/chensnathan/YOLOF, YOLOF's authors' project on Detectron2.
The architecture is found from the file. A file with tensors that are missing or left over is not
converted, and nothing is written.
"""

import argparse
import sys

from vfnet_d2.checkpoint.convert.converter import ConversionError, convert_checkpoint
from vfnet_d2.checkpoint.convert.pairs import OURS, STYLES
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.utils.files import write_text


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="checkpoint: .pth, .safetensors, or Detectron2's .pkl")
    parser.add_argument("target", help="file to write: .pth or .safetensors")
    parser.add_argument("--to", choices=STYLES, default=OURS, help="whose names to write")
    parser.add_argument(
        "--num-classes", type=int, default=80, help="that the file must have; 80 is COCO"
    )
    parser.add_argument(
        "--drop-classifier",
        action="store_true",
        help="leave out the layer that depends on the classes, for fine-tuning with others",
    )
    parser.add_argument(
        "--unsafe-pickle",
        action="store_true",
        help="let the file run code while it is read; only for files you trust",
    )
    parser.add_argument("--report", metavar="FILE", help="write what became of every tensor")
    return parser.parse_args()


def main() -> int:
    """Convert, and return the exit status."""
    arguments = parse_arguments()
    try:
        conversion = convert_checkpoint(
            arguments.source,
            arguments.target,
            to=arguments.to,
            num_classes=arguments.num_classes,
            drop_classifier=arguments.drop_classifier,
            unsafe_pickle=arguments.unsafe_pickle,
        )
    except (CheckpointError, OSError) as error:
        if isinstance(error, ConversionError) and arguments.report:
            write_text(arguments.report, error.report.text())
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.report:
        write_text(arguments.report, conversion.report.text())
    print(conversion.summary())
    print(f"written: {arguments.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
