"""COCO's metrics, by pycocotools or, where it is installed, by the compiled faster-coco-eval.

Both follow COCO's rules. They round differently in one place: pycocotools divides by the number of
detections plus 2^-52, the other by the number itself. A precision of 1 that rests on a single
detection is therefore 1 - 2^-52 in one and 1 in the other; averages differ by as much, relatively,
and by the rounding of their sums. No figure of a report, which has two decimals, shows it.
"""

import contextlib
import importlib
import importlib.util
import io
from typing import Any, NamedTuple

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData, ReportInputError, to_coco

PYCOCOTOOLS = "pycocotools"
FASTER = "faster-coco-eval"
AUTO = "auto"
EVALUATORS = (AUTO, PYCOCOTOOLS, FASTER)

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
RECALL_METRICS = ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
SIZES = ("all", "small", "medium", "large")


class CocoResult(NamedTuple):
    """What an evaluator computed; -1 stands for "nothing to find".

    Attributes:
        evaluator: its name.
        stats: (12,) COCO's summary, in [0, 1].
        precision: (10 IoU thresholds, 101 recalls, K classes, 4 sizes, 3 limits).
        recall: (10, K, 4, 3).
    """

    evaluator: str
    stats: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def choose_evaluator(wanted: str = AUTO) -> str:
    """Return the evaluator to use.

    Args:
        wanted: one of EVALUATORS; "auto" takes the fast one where it is installed.

    Raises:
        ReportInputError: the fast one is asked for and not installed.
    """
    installed = importlib.util.find_spec("faster_coco_eval") is not None
    if wanted == AUTO:
        return FASTER if installed else PYCOCOTOOLS
    if wanted == FASTER and not installed:
        raise ReportInputError(f"{FASTER} is not installed: `pip install {FASTER}`, or take "
                               f"{PYCOCOTOOLS}, which is slower")  # fmt: skip
    return wanted


def evaluate_coco(data: EvaluationData, *, evaluator: str = AUTO) -> CocoResult:
    """Evaluate boxes as COCO does; arguments as above."""
    name = choose_evaluator(evaluator)
    make_table, make_evaluation = _evaluator_classes(name)
    with contextlib.redirect_stdout(io.StringIO()):  # both print tables and timings
        tables = []
        for content in to_coco(data):
            table = make_table()
            table.dataset = content
            table.createIndex()
            tables.append(table)
        evaluation = make_evaluation(*tables, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return CocoResult(
        name,
        np.asarray(evaluation.stats, dtype=np.float64)[:12],
        evaluation.eval["precision"],
        evaluation.eval["recall"],
    )


def _evaluator_classes(name: str) -> tuple[Any, Any]:
    """The classes for data and evaluation, imported only when they are used."""
    if name == FASTER:
        package = importlib.import_module("faster_coco_eval")
        return package.COCO, package.COCOeval_faster
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return COCO, COCOeval


def summary(result: CocoResult) -> dict[str, float | None]:
    """COCO's twelve figures in percent; None where there is nothing to find."""
    names = (*METRICS, *RECALL_METRICS)
    return {name: percent(value) for name, value in zip(names, result.stats, strict=True)}


def class_metrics(result: CocoResult, number: int) -> dict[str, float | None]:
    """AP, AP50, AP75, APs, APm and APl of one class in percent."""
    precision = result.precision[:, :, number, :, -1]
    everything = precision[:, :, 0]
    parts = {
        "AP": everything,
        "AP50": everything[0],
        "AP75": everything[5],
        **{f"AP{size[0]}": precision[:, :, area] for area, size in enumerate(SIZES) if area},
    }
    return {name: percent(_mean(part)) for name, part in parts.items()}


def precision_recall(result: CocoResult, threshold: int) -> dict[str, Any]:
    """Precision at 101 recalls at an IoU threshold, by its number: mean, and of each class."""
    curves = result.precision[threshold, :, :, 0, -1].T
    defined = curves[curves[:, 0] > -1]
    return {
        "iou": 0.5 + 0.05 * threshold,
        "mean": None if not len(defined) else defined.mean(axis=0).round(6).tolist(),
        "classes": [None if row[0] < 0 else row.round(6).tolist() for row in curves],
    }


def percent(value: float) -> float | None:
    """A part of 1 as percent; None for COCO's -1 and for NaN."""
    return None if np.isnan(value) or value < 0 else float(value) * 100


def _mean(part: np.ndarray) -> float:
    defined = part[part > -1]
    return float(defined.mean()) if defined.size else -1.0
