"""``vfnet predict``: detections of images, folders, videos and cameras."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vfnet_d2.cli.inference_options import (
    add_inference_options,
    count,
    inference_arguments,
    overlap_alone,
    part,
    say_ineffective,
)
from vfnet_d2.utils.choices import PREDICTION_FORMATS

if TYPE_CHECKING:
    from vfnet_d2.inference.predictor import Predictor
    from vfnet_d2.inference.writers import PredictionWriter

_DESCRIPTION = """\
Detect objects, draw them, and write them to files. INPUT is an image, a folder, a pattern such as
'photos/**/*.jpg', a video, or the number of a camera. Config, class names and input convention are
the checkpoint's, if it was converted by tools/convert_checkpoint.py or says them since its
training; otherwise --config-file names the config. The exit status is 1 if an input could not be
read: it is reported, and the others are predicted."""

_EPILOG = """\
examples:
  vfnet predict photos --weights model.pth
  vfnet predict 'photos/**/*.jpg' clip.mp4 --weights model.pth --format coco,csv,yolo
  vfnet predict aerial.tif --weights model.pth --tile 640
  vfnet predict a.jpg --weights model.pth --tta --soft-nms --score-threshold 0.05
  vfnet predict 0 --weights model.pth --max-frames 500
in the output folder:
  pictures/          the inputs with boxes; videos as MP4
  predictions.json   COCO: images, categories, annotations with a score    (--format coco)
  predictions.csv    a line for each detection                             (--format csv)
  labels/            YOLO: class cx cy w h, without scores; classes.txt    (--format yolo)"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``vfnet predict`` takes, and its description, to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="see above")
    parser.add_argument("--weights", metavar="FILE", required=True, help="checkpoint of the model")
    parser.add_argument(
        "--config-file",
        metavar="FILE_OR_NAME",
        help="config of checkpoints that do not say theirs, such as quick/vfnet_shapes",
    )
    parser.add_argument(
        "--output", metavar="DIR", default="predictions", help="default: %(default)s"
    )
    parser.add_argument(
        "--score-threshold",
        metavar="X",
        type=part,
        default=0.3,
        help="lowest score of a detection; 0.05 for evaluations (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        dest="formats",
        metavar="NAMES",
        type=_formats,
        default="coco",
        help=f"files to write, of {', '.join(PREDICTION_FORMATS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--scale", metavar="X", type=_factor, default=1.0, help="enlargement of the pictures"
    )
    parser.add_argument("--skip-pictures", action="store_true", help="draw nothing")
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=count,
        default=1,
        help="images or tiles in a forward pass. Images of different sizes are padded to the "
        "largest, which changes scores slightly (default: %(default)s)",
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; a GPU if there is one")
    parser.add_argument(
        "--max-frames", metavar="N", type=count, help="most frames of each video or camera"
    )
    add_inference_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and say what was written and skipped; 1 if something was skipped."""
    from vfnet_d2.inference.pictures import PictureWriter
    from vfnet_d2.inference.run import run_prediction
    from vfnet_d2.inference.sources import find_sources, left_out_of
    from vfnet_d2.inference.writers import WRITERS, OutputNames

    sources = find_sources(arguments.inputs)
    moving = any(source.kind != "image" for source in sources)
    say_ineffective(
        {
            **overlap_alone(arguments),
            "--scale has no effect with --skip-pictures": arguments.skip_pictures
            and arguments.scale != 1,
            "--max-frames has no effect: no input is a video or camera": not moving
            and arguments.max_frames is not None,
        }
    )
    for sentence in left_out_of(arguments.inputs):
        print(sentence, file=sys.stderr)
    try:
        predictor = _predictor(arguments)
    except ValueError as error:  # weights, config and options that do not fit together
        print(f"vfnet: error: {error}", file=sys.stderr)
        return 2
    names = OutputNames(Path(arguments.output), sources)
    writers: list[PredictionWriter] = [
        WRITERS[name](names, predictor.class_names) for name in arguments.formats
    ]
    if not arguments.skip_pictures:
        picture_writer = PictureWriter(
            names,
            metadata=predictor.metadata,
            input_format=predictor.input_format,
            scale=arguments.scale,
        )
        writers.insert(0, picture_writer)
    summary = run_prediction(predictor, sources, writers, max_frames=arguments.max_frames)
    for skipped in summary.skipped:
        print(f"skipped: {skipped.cause}", file=sys.stderr)
    if summary.stopped:
        print("stopped: only what was read until then was predicted", file=sys.stderr)
    print(
        f"Predicted {_number(summary.frames, 'image')}: {_number(summary.detections, 'object')} "
        f"that score above {arguments.score_threshold:g}"
        + (f"; skipped {len(summary.skipped)}" if summary.skipped else "")
    )
    print(f"Wrote {', '.join(map(str, summary.written))}")
    return 1 if summary.skipped else 0


def _predictor(arguments: argparse.Namespace) -> "Predictor":
    from vfnet_d2.inference.predictor import Predictor

    return Predictor(
        arguments.weights,
        config=arguments.config_file,
        device=arguments.device,
        score_threshold=arguments.score_threshold,
        batch_size=arguments.batch_size,
        **inference_arguments(arguments),
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _formats(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PREDICTION_FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is unknown; choose of {', '.join(PREDICTION_FORMATS)}, separated by "
            "commas"
        )
    return list(dict.fromkeys(names))
