"""``vfnet eval``: evaluation with a report."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfnet_d2.cli.inference_options import (
    LOOKING,
    add_inference_options,
    inference_arguments,
    overlap_alone,
    say_ineffective,
)
from vfnet_d2.data.formats.opening import FORMATS, open_dataset
from vfnet_d2.data.formats.reader import FormatError
from vfnet_d2.evaluation.report.coco_metrics import AUTO, EVALUATORS, METRICS
from vfnet_d2.evaluation.report.data import ReportInputError
from vfnet_d2.utils.requirements import require_detectron2

if TYPE_CHECKING:
    from vfnet_d2.evaluation.report.run import ReportOptions
    from vfnet_d2.inference.predictor import Predictor

_DESCRIPTION = """\
Evaluate a model, or detections that are there already, and write report.html and report.json: COCO
metrics, precision-recall curves, confusion matrix, the best score threshold, an error breakdown,
and pictures of the worst mistakes. The exit status is 1 if something looks wrong with the files."""

_EPILOG = """\
examples:
  vfnet eval my_data --weights model_best.pth            validation set of a dataset of any format
  vfnet eval my_data --weights model_best.pth --tile 640  large images with small objects
  vfnet eval val.json --detections results.json          COCO ground truth and COCO results
  vfnet eval --weights vfnet_d2/assets/vfnet_shapes.pth --config quick/vfnet_shapes
                                                         the test set that a config names"""

_DATASET_NAME = "vfnet_eval"
# Worth saying, but common in small validation sets.
_HARMLESS = {"class-without-ground-truth"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``vfnet eval`` takes, and its description, to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="folder of a dataset, or annotation file; without it the config's first test set",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", metavar="FILE", help="checkpoint of the model")
    source.add_argument(
        "--detections", metavar="FILE", help="COCO results JSON, to evaluate without a model"
    )
    parser.add_argument(
        "--config-file",
        "--config",
        dest="config",
        metavar="FILE_OR_NAME",
        help="config of checkpoints that do not say theirs, such as quick/vfnet_shapes",
    )
    parser.add_argument("--output", metavar="DIR", default="output/eval", help="of the report")
    parser.add_argument("--format", dest="format_name", choices=sorted(FORMATS), help="of PATH")
    parser.add_argument("--split", help="of PATH (default: val, or the only one)")
    parser.add_argument("--root", metavar="DIR", help="folder below which all images lie")
    parser.add_argument(
        "--score-threshold",
        metavar="T",
        type=float,
        help="for confusion matrix and misses (default: that of the highest F1)",
    )
    parser.add_argument(
        "--evaluator", choices=EVALUATORS, default=AUTO, help="of COCO's metrics (default: auto)"
    )
    parser.add_argument(
        "--gallery", metavar="N", type=int, default=12, help="pictures of each kind of mistake"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1")
    parser.add_argument(
        "--workers", metavar="N", type=int, default=0, help="processes that read images"
    )
    add_inference_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print what matters, and say where the report is; 1 if files look wrong."""
    require_detectron2()
    from vfnet_d2.evaluation.report.run import ReportOptions

    # Detectron2 logs every dataset it loads; what matters is printed below.
    logging.getLogger("detectron2").setLevel(logging.WARNING)
    say_ineffective(overlap_alone(arguments))
    options = ReportOptions(arguments.score_threshold, arguments.evaluator, arguments.gallery)
    output = Path(arguments.output)
    if arguments.detections is None:
        report = _evaluate_model(arguments, output, options)
    else:
        report = _evaluate_detections(arguments, output, options)
    print(report_text(report))
    print(f"Wrote {output / 'report.html'} and {output / 'report.json'}")
    return 1 if {entry["code"] for entry in report["diagnoses"]} - _HARMLESS else 0


def report_text(report: Mapping[str, Any]) -> str:
    """The report in a few lines."""
    from vfnet_d2.evaluation.report.page import show_percent, takeaways

    figures = "  ".join(f"{key} {show_percent(report['metrics'][key])}" for key in METRICS)
    lines = [f"{report['model']} on {report['dataset']}: {figures}"]
    for entry in report["diagnoses"]:
        lines += [f"LOOK: {entry['cause']}", f"  what to do: {entry['remedy']}"]
    return "\n".join([*lines, *takeaways(report)])


def _evaluate_detections(
    arguments: argparse.Namespace, output: Path, options: "ReportOptions"
) -> dict[str, Any]:
    from vfnet_d2.evaluation.report.run import evaluate_files

    if arguments.path is None:
        raise ReportInputError("--detections needs PATH: the COCO JSON with the ground truth")
    useless = [f"--{name.replace('_', '-')}" for name in LOOKING if getattr(arguments, name)]
    if useless:
        raise ReportInputError(
            f"{', '.join(useless)} say how a model looks at images, but with --detections there is "
            "none: leave them out, or give --weights"
        )
    truth = Path(arguments.path)
    if truth.is_dir():
        reader = open_dataset(truth, format_name=arguments.format_name, split=_split(arguments))
        truth = reader.path
    if truth.suffix != ".json":
        raise ReportInputError(
            f"--detections needs ground truth as COCO JSON, whose ids it refers to, not {truth}; "
            "`vfnet data convert` makes one"
        )
    root = None if arguments.root is None else Path(arguments.root)
    return evaluate_files(
        truth,
        Path(arguments.detections),
        output,
        image_root=root,
        title=Path(arguments.path).stem,
        options=options,
    )


def _evaluate_model(
    arguments: argparse.Namespace, output: Path, options: "ReportOptions"
) -> dict[str, Any]:
    from vfnet_d2.evaluation.report.run import evaluate_model
    from vfnet_d2.shapes.dataset import register_shapes

    register_shapes()
    predictor = _predictor(arguments)
    if arguments.path is None:
        if not predictor.test_datasets:
            raise ReportInputError("the config names no test set: give the dataset as PATH")
        dataset, title = predictor.test_datasets[0], ""
    else:
        split = _register(arguments, predictor)
        dataset, title = _DATASET_NAME, Path(arguments.path).name + (f" ({split})" if split else "")
    return evaluate_model(
        predictor,
        dataset,
        output,
        title=title,
        weights=arguments.weights,
        options=options,
        num_workers=arguments.workers,
    )


def _predictor(arguments: argparse.Namespace) -> "Predictor":
    from vfnet_d2.inference.predictor import Predictor

    try:
        return Predictor(
            arguments.weights,
            config=arguments.config,
            device=arguments.device,
            **inference_arguments(arguments),
        )
    except ValueError as error:  # weights, config and options that do not fit together
        raise ReportInputError(str(error)) from error


def _register(arguments: argparse.Namespace, predictor: "Predictor") -> str | None:
    """Register PATH with the classes of the model, by name, and return the split."""
    from vfnet_d2.data.formats.register import register_dataset

    place = {"format_name": arguments.format_name, "root": arguments.root}
    split = _split(arguments)
    own = open_dataset(arguments.path, split=split, **place).classes
    # A checkpoint that does not know its classes numbers them.
    names = predictor.class_names
    known = names != [str(index) for index in range(len(names))]
    if known and not set(own) & set(names):
        raise ReportInputError(
            f"model and dataset have no class in common: the model has {', '.join(names[:8])}, "
            f"{arguments.path} has {', '.join(own[:8])}"
        )
    register_dataset(
        _DATASET_NAME, arguments.path, split=split, classes=names if known else None, **place
    )
    return split


def _split(arguments: argparse.Namespace) -> str | None:
    """The split asked for; else "val" if there is one, else the only one."""
    if arguments.split is not None:
        return str(arguments.split)
    try:
        open_dataset(arguments.path, format_name=arguments.format_name, split="val")
    except FormatError:
        return None
    return "val"
