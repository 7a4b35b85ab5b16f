"""The report of the oracle analysis: JSON types, tables for readers, files."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from vfnet_d2.paper.oracle import COLUMNS
from vfnet_d2.paper.oracle_chart import draw_oracles
from vfnet_d2.paper.reliability_diagram import draw_reliability
from vfnet_d2.utils.files import write_text

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
# Ranking all boxes of a class by nothing but their IoU: the oracle without centerness.
BEST_RANKING = "score_iou"
_POPULATIONS = {"detections": "detections", "foreground_points": "foreground points"}


def make_report(
    results: Mapping[str, Mapping[str, float]],
    *,
    used: str,
    ranking: Mapping[str, Any],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Put the results of an analysis together, as JSON types.

    Args:
        results: per column's name, COCO's box APs in percent.
        used: the column that is the model as it is used.
        ranking: per population what
            :func:`~vfnet_d2.evaluation.ranking.describe_ranking` returns.
        about: of what model and dataset this is.

    Returns:
        ``about``'s entries; "oracles", a list with "name", "label", "centerness" and the APs of
        each column; and "ranking": the populations and "ap_lost", by how much AP rises when the
        true class scores the IoU. A figure that is not defined is None.
    """
    oracles = [
        {
            "name": column.name,
            "label": column.label,
            "centerness": column.quality,
            **{metric: _defined(results[column.name][metric]) for metric in METRICS},
        }
        for column in COLUMNS
        if column.name in results
    ]
    lost = _defined(results[BEST_RANKING]["AP"] - results[used]["AP"])
    return {
        **about,
        "as_used": used,
        "oracles": oracles,
        "ranking": {"ap_lost": lost, **ranking},
    }


def format_report(report: Mapping[str, Any]) -> str:
    """Return the tables of a report."""
    oracles = report["oracles"]
    branch = any(entry["centerness"] for entry in oracles)
    rows = [
        [entry["label"]]
        + (["yes" if entry["centerness"] else "no"] if branch else [])
        + [_shown(entry[metric]) for metric in METRICS]
        for entry in oracles
    ]
    headers = ["at foreground points", *(["with centerness"] if branch else []), *METRICS]
    ranking = report["ranking"]
    figures = [
        [
            label,
            ranking[key]["count"],
            _shown(ranking[key]["spearman"], digits=3),
            _shown(ranking[key]["kendall"], digits=3),
            _shown(ranking[key]["expected_calibration_error"], digits=3),
        ]
        for key, label in _POPULATIONS.items()
    ]
    return "\n".join(
        [
            f"{report['model']} on {report['dataset']}, {report['images']} images: oracles",
            _table(rows, headers),
            "",
            "Ranking: score against IoU",
            _table(figures, ["of", "count", "Spearman", "Kendall", "calibration error"]),
            f"AP lost to ranking (class score := IoU, minus as used): {_shown(ranking['ap_lost'])}",
        ]
    )


def _table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """Names on the left, figures to the right."""
    align = ["left", *["right"] * (len(headers) - 1)]
    return str(tabulate(rows, headers=headers, disable_numparse=True, colalign=align))


def write_report(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write a report as JSON, as text and as two pictures.

    Args:
        report: of :func:`make_report`.
        folder: made if needed.

    Returns:
        paths of ``report.json``, ``report.txt``, ``oracles.png`` and ``reliability.png``.
    """
    return [
        _write_text(folder / "report.json", json.dumps(report, indent=2) + "\n"),
        _write_text(folder / "report.txt", format_report(report) + "\n"),
        draw_oracles(report, folder / "oracles.png"),
        draw_reliability(report, folder / "reliability.png"),
    ]


def _write_text(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _defined(value: float) -> float | None:
    """JSON has no NaN, which COCO's evaluation gives where there is nothing to evaluate."""
    return None if math.isnan(value) else float(value)


def _shown(value: float | None, *, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
