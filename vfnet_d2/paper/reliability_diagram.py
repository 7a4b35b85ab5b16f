"""A picture of a detector's reliability: predicted score against true IoU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vfnet_d2.utils.files import replacing

_TITLES = {
    "detections": "{count} detections, against the nearest object of their class",
    "foreground_points": "{count} foreground points, against their own object",
}


def draw_reliability(report: Mapping[str, Any], picture: Path) -> Path:
    """Draw mean IoU over predicted score, and how many boxes there are, per population.

    Args:
        report: of :func:`~vfnet_d2.paper.oracle_report.make_report`.
        picture: PNG to write.

    Returns:
        ``picture``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained", dpi=120)
    grid = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    for (key, title), (above, below) in zip(_TITLES.items(), grid.T, strict=True):
        population = report["ranking"][key]
        _draw_population(population, above, below)
        title = title.format(count=population["count"])
        above.set_title(f"{title}\n{_figures(population)}", fontsize=10)
    grid[0, 0].set_ylabel("mean IoU with the ground truth")
    grid[1, 0].set_ylabel("count")
    grid[0, 0].legend(loc="upper left")
    figure.suptitle(f"{report['model']} on {report['dataset']}")
    with replacing(picture) as scratch:
        figure.savefig(scratch, format="png")
    return picture


def _draw_population(population: Mapping[str, Any], above: Any, below: Any) -> None:
    """Draw reliability into the axes ``above`` and counts into those ``below``."""
    bins = population["reliability"]
    left = [entry["low"] for entry in bins]
    width = [entry["high"] - entry["low"] for entry in bins]
    style = {"width": width, "align": "edge", "edgecolor": "white"}
    above.bar(left, [x["mean_iou"] or 0 for x in bins], color="tab:blue", label="mean IoU", **style)
    above.plot([0, 1], [0, 1], color="black", linestyle="--", label="score = IoU")
    above.set(xlim=(0, 1), ylim=(0, 1))
    below.bar(left, [entry["count"] for entry in bins], color="tab:gray", **style)
    below.set(xlabel="predicted score", ylim=(0, None))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)


def _figures(population: Mapping[str, Any]) -> str:
    shown = {"Spearman": "spearman", "calibration error": "expected_calibration_error"}
    return ", ".join(
        f"{label} " + ("-" if population[key] is None else f"{population[key]:.3f}")
        for label, key in shown.items()
    )
