"""Tables 3 and 5 of the paper beside what was measured here: means, spreads, and the order.

Figures of the paper: VarifocalNet, CVPR 2021, box AP on COCO val2017, R-50, 1x.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from tabulate import tabulate


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        label: what the paper calls it.
        config: the config that trains it, as the model zoo names it.
        paper_ap: the paper's box AP.
        group: rows of one group are compared with each other.
    """

    label: str
    config: str
    paper_ap: float
    group: str

    @property
    def name(self) -> str:
        """The config's name without its folder."""
        return self.config.rpartition("/")[2]


def _losses(detector: str, configs: Sequence[str], figures: Sequence[float]) -> list[Row]:
    """Rows of a detector with focal, quality focal and varifocal loss."""
    columns = zip(("FL", "QFL", "VFL"), configs, figures, strict=True)
    return [Row(f"{detector}, {loss}", config, ap, detector) for loss, config, ap in columns]


def _baselines(stem: str) -> list[str]:
    return [f"baselines/{stem}_R_50_{loss}1x" for loss in ("", "qfl_", "vfl_")]


TABLES: dict[str, list[Row]] = {
    "Table 3": [
        Row("raw VFNet, FL", "ablations/vfnet_R_50_raw_fl_1x", 39.0, "Table 3"),
        Row("raw VFNet, VFL", "ablations/vfnet_R_50_raw_vfl_1x", 40.1, "Table 3"),
        Row("+ star convolution", "ablations/vfnet_R_50_star_1x", 40.7, "Table 3"),
        Row("+ refinement (VFNet)", "vfnet_R_50_1x", 41.6, "Table 3"),
        Row("FCOS+ATSS", "baselines/fcos_atss_R_50_1x", 39.2, "Table 3"),
    ],
    "Table 5": [
        *_losses("RetinaNet", _baselines("retinanet"), (36.5, 37.3, 37.4)),
        *_losses("FoveaBox", _baselines("foveabox"), (36.3, 36.9, 37.2)),
        *_losses("RepPoints", _baselines("reppoints"), (38.3, 39.2, 39.7)),
        *_losses("ATSS", _baselines("atss"), (39.3, 39.8, 40.2)),
        *_losses(
            "VFNet",
            ("ablations/vfnet_R_50_fl_1x", "ablations/vfnet_R_50_qfl_1x", "vfnet_R_50_1x"),
            (40.0, 41.1, 41.6),
        ),
    ],
}


class Measured(NamedTuple):
    """Box APs of one config over its seeds.

    Attributes:
        mean: their mean.
        spread: their sample standard deviation; NaN for a single seed.
        seeds: their number.
    """

    mean: float
    spread: float
    seeds: int


def summarise(values: Sequence[float]) -> Measured:
    """Mean, sample standard deviation and number of at least one value."""
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return Measured(statistics.fmean(values), spread, len(values))


def markdown_table(rows: Iterable[Row], measured: Mapping[str, Measured]) -> str:
    """A Markdown table: the paper's AP and ours; a row that was not measured has dashes.

    Args:
        rows: of the table.
        measured: by the row's config.
    """
    lines = []
    for row in rows:
        ours = measured.get(row.config)
        figures = ["-", "-", "0"]
        if ours is not None:
            spread = "-" if math.isnan(ours.spread) else f"{ours.spread:.2f}"
            figures = [f"{ours.mean:.2f}", spread, str(ours.seeds)]
        lines.append([row.label, f"`{row.config}`", f"{row.paper_ap:.1f}", *figures])
    headers = ["", "config", "paper AP (COCO)", "mean AP (shapes)", "spread", "seeds"]
    align = ("left", "left", "right", "right", "right", "right")
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True, colalign=align)


def comparable_pairs(
    rows: Sequence[Row], measured: Mapping[str, Measured]
) -> list[tuple[Row, Row]]:
    """Pairs (worse, better in the paper) of measured rows of one group.

    Args:
        rows: of a table.
        measured: by the row's config.
    """
    known = sorted((row for row in rows if row.config in measured), key=lambda row: row.paper_ap)
    return [
        (worse, better)
        for worse, better in combinations(known, 2)
        if worse.group == better.group and worse.paper_ap < better.paper_ap
    ]


def describe_difference(worse: Row, better: Row, measured: Mapping[str, Measured]) -> str:
    """Say that the means rank two rows otherwise than the paper, or return "".

    Args:
        worse: the one with the lower AP in the paper.
        better: the other.
        measured: by the row's config.
    """
    low, high = measured[worse.config], measured[better.config]
    if high.mean > low.mean:
        return ""
    # The difference of two independent means spreads by the root of their summed variances.
    error = math.sqrt(low.spread**2 / low.seeds + high.spread**2 / high.seeds)
    doubt = "" if math.isnan(error) else f", standard error of the difference {error:.2f}"
    return (
        f"{better.label} is above {worse.label} in the paper ({better.paper_ap:.1f} and "
        f"{worse.paper_ap:.1f}), but not here: {high.mean:.2f} and {low.mean:.2f}{doubt}"
    )


def report(rows: Iterable[tuple[str, Sequence[Row]]], measured: Mapping[str, Measured]) -> str:
    """Tables and what differs from the paper's order, as Markdown.

    Args:
        rows: title and rows of each table.
        measured: by the row's config.
    """
    parts = []
    for title, table in rows:
        parts += [f"### {title}", markdown_table(table, measured)]
        pairs = comparable_pairs(table, measured)
        differences = [text for x, y in pairs if (text := describe_difference(x, y, measured))]
        if differences:
            bullets = [f"- {text}" for text in differences]
            parts.append("\n".join(["Order other than the paper's:", "", *bullets]))
        elif pairs:
            parts.append(f"The order is the paper's, in all {len(pairs)} pairs.")
    return "\n\n".join(parts) + "\n"
