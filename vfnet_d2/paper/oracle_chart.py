"""A picture of the oracle table: AP when a part of the output is right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vfnet_d2.utils.files import replacing

_KINDS = {False: ("without centerness", "tab:blue"), True: ("with centerness", "tab:orange")}


def draw_oracles(report: Mapping[str, Any], picture: Path) -> Path:
    """Draw a horizontal bar for every column of the table.

    Args:
        report: of :func:`~vfnet_d2.paper.oracle_report.make_report`.
        picture: PNG to write.

    Returns:
        ``picture``.
    """
    from matplotlib.figure import Figure

    oracles = report["oracles"]
    kinds = [kind for kind in _KINDS if any(x["centerness"] is kind for x in oracles)]
    labels = list(dict.fromkeys(entry["label"] for entry in oracles))
    figure = Figure(figsize=(8, 1.2 + 0.32 * len(labels) * (len(kinds) + 0.5)), dpi=120)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    ticks, row = [], 0.0
    for label in labels:
        group = [entry for entry in oracles if entry["label"] == label]
        ticks.append(row + (len(group) - 1) / 2)
        for entry in group:
            name, colour = _KINDS[entry["centerness"]]
            value = entry["AP"]
            axes.barh(row, value or 0, height=0.8, color=colour, label=name)
            axes.text((value or 0) + 1, row, "-" if value is None else f"{value:.1f}", va="center")
            row += 1
        row += 0.6
    axes.set_yticks(ticks, labels)
    axes.invert_yaxis()
    axes.set(
        xlabel=f"box AP on {report['dataset']} ({report['images']} images)",
        xlim=(0, 108),  # room for the figure beside a bar of 100
        title=f"{report['model']}: what if a part of the output were right?",
    )
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    if len(kinds) > 1:
        handles, names = axes.get_legend_handles_labels()
        first = dict(reversed(list(zip(names, handles, strict=True))))
        axes.legend([first[_KINDS[k][0]] for k in kinds], [_KINDS[k][0] for k in kinds])
    with replacing(picture) as scratch:
        figure.savefig(scratch, format="png")
    return picture
