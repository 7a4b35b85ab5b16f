"""Reports of an oracle analysis with known figures."""

from typing import Any

import numpy as np

from vfnet_d2.evaluation.ranking import describe_ranking
from vfnet_d2.paper.oracle import columns_for
from vfnet_d2.paper.oracle_report import METRICS, make_report

# The paper's Table 1, FCOS+ATSS on COCO val2017.
PAPER = [38.5, 39.2, 41.1, 43.5, 56.1, 56.3, 43.1, 58.1, 74.7, 67.4]
WITHOUT_CENTERNESS = [38.5, 56.1, 43.1, 74.7]


def table_1(*, quality: bool = True) -> dict[str, Any]:
    """A report with the paper's APs, AP50 10 points higher and AP75 10 lower; no APs, one size."""
    values = PAPER if quality else WITHOUT_CENTERNESS
    columns = columns_for(quality=quality)
    results = {
        column.name: dict.fromkeys(METRICS, float("nan"))
        | {"AP": value, "AP50": value + 10, "AP75": value - 10}
        for column, value in zip(columns, values, strict=True)
    }
    scores = np.array([0.05, 0.15, 0.95, 0.95])
    return make_report(
        results,
        used="predicted_centerness" if quality else "predicted",
        ranking={
            "detections": describe_ranking(scores, np.array([0.0, 0.5, 0.75, 0.25])),
            "foreground_points": describe_ranking(np.zeros(0), np.zeros(0)),
        },
        about={"model": "FCOSATSS", "dataset": "coco_2017_val", "images": 5000},
    )
