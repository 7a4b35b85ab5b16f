#!/usr/bin/env python3
r"""Draw predictions of a trained detector, beside the ground truth where there is one.

    tools/visualize.py --config-file configs/quick/vfnet_shapes.yaml --output pictures \
        MODEL.WEIGHTS vfnet_d2/assets/vfnet_shapes.pth
    tools/visualize.py --config-file CONFIG --input a.jpg b.jpg --output pictures MODEL.WEIGHTS FILE

Without --input the pictures show the config's test set. Overrides stand at the end, as in
train_net.py.
"""

import argparse
import sys

from vfnet_d2.inference.gallery import draw_dataset, draw_files
from vfnet_d2.inference.predictor import load_predictor
from vfnet_d2.shapes.dataset import register_shapes


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--input", nargs="+", metavar="IMAGE", help="image files to predict")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where pictures go")
    parser.add_argument("--score-thresh", type=float, default=0.3, help="lowest score drawn")
    parser.add_argument("--max-images", type=int, default=20, help="of the test set")
    parser.add_argument("--scale", type=float, default=1.0, help="enlargement of the pictures")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides")
    return parser.parse_args()


def main() -> None:
    """Write the pictures and say where they are."""
    arguments = parse_arguments()
    register_shapes()
    predictor = load_predictor(arguments.config_file, arguments.opts)
    drawing = {"score_thresh": arguments.score_thresh, "scale": arguments.scale}
    if arguments.input:
        paths = draw_files(predictor, arguments.input, arguments.output, **drawing)
    else:
        paths = draw_dataset(
            predictor, arguments.output, max_images=arguments.max_images, **drawing
        )
    print(f"{len(paths)} pictures in {arguments.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
