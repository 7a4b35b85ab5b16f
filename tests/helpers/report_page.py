"""A report for tests of what is made of it."""

from typing import Any

from tests.helpers.report_data import random_data
from vfnet_d2.evaluation.report.build import make_report
from vfnet_d2.evaluation.report.coco_metrics import PYCOCOTOOLS
from vfnet_d2.evaluation.report.data import EvaluationData


def report_of(data: EvaluationData | None = None, **options: Any) -> dict[str, Any]:
    """The report of some data, or of random ones."""
    return make_report(
        random_data(seed=1) if data is None else data,
        **{"about": {"model": "VFNet", "dataset": "pets"}, "evaluator": PYCOCOTOOLS} | options,
    )
