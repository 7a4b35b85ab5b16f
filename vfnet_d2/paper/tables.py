"""Tables 3 and 5 of the paper beside what was measured here: means, spreads, and the order.

Figures of the paper: VarifocalNet, CVPR 2021, box AP on COCO val2017, R-50, 1x.
"""

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from tabulate import tabulate

BySeed = Mapping[int, float]


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
    """What repetitions found.

    Attributes:
        mean: of their values.
        spread: sample standard deviation; NaN for a single one.
        number: how many.
    """

    mean: float
    spread: float
    number: int

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.spread / math.sqrt(self.number)


def summarise(values: Collection[float]) -> Measured:
    """Mean, sample standard deviation and number of at least one value."""
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return Measured(statistics.fmean(values), spread, len(values))


def gain(aps: BySeed, reference: BySeed) -> Measured | None:
    """Differences to a reference, seed by seed; None without a common seed.

    A seed decides the order of the images for all configs alike, and a lucky one lifts them all.
    Differences of the same seed are free of that.
    """
    seeds = sorted(aps.keys() & reference.keys())
    return summarise([aps[seed] - reference[seed] for seed in seeds]) if seeds else None


def markdown_table(rows: Sequence[Row], measured: Mapping[str, BySeed]) -> str:
    """A Markdown table: the paper's AP and ours; a row that was not measured has dashes.

    Args:
        rows: of the table. Gains are over the first row of a group.
        measured: box APs by the row's config.
    """
    first = {row.group: row for row in reversed(rows)}
    lines = []
    for row in rows:
        base, aps = first[row.group], measured.get(row.config, {})
        over = gain(aps, measured.get(base.config, {})) if base is not row else None
        figures = [
            f"{row.paper_ap:.1f}",
            *(_figure(summarise(aps.values()) if aps else None), str(len(aps))),
            f"{row.paper_ap - base.paper_ap:+.1f}" if base is not row else "",
            _figure(over, sign="+") if base is not row else "",
        ]
        lines.append([row.label, f"`{row.config}`", *figures])
    headers = ["", "config", "paper AP (COCO)", "AP (shapes)", "seeds", "paper gain", "gain"]
    align = ("left", "left", *["right"] * 5)
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True, colalign=align)


def _figure(measured: Measured | None, sign: str = "") -> str:
    """Mean and spread."""
    if measured is None:
        return "-"
    spread = "" if math.isnan(measured.spread) else f" ± {measured.spread:.2f}"
    return f"{measured.mean:{sign}.2f}{spread}"


def comparable_pairs(rows: Sequence[Row], measured: Mapping[str, BySeed]) -> list[tuple[Row, Row]]:
    """Pairs (worse, better in the paper) of rows of one group that share a seed.

    Args:
        rows: of a table.
        measured: box APs by the row's config.
    """
    ordered = sorted(rows, key=lambda row: row.paper_ap)
    return [
        (worse, better)
        for worse, better in combinations(ordered, 2)
        if worse.group == better.group
        and worse.paper_ap < better.paper_ap
        and measured.get(worse.config, {}).keys() & measured.get(better.config, {}).keys()
    ]


def describe_difference(worse: Row, better: Row, measured: Mapping[str, BySeed]) -> str:
    """Say that the common seeds rank two rows otherwise than the paper, or return "".

    Args:
        worse: the one with the lower AP in the paper.
        better: the other.
        measured: box APs by the row's config.
    """
    over = gain(measured[better.config], measured[worse.config])
    if over is None or over.mean > 0:
        return ""
    doubt = "" if math.isnan(over.error) else f", standard error {over.error:.2f}"
    return (
        f"{better.label} is {better.paper_ap - worse.paper_ap:.1f} above {worse.label} in the "
        f"paper, but {over.mean:+.2f} here{doubt}"
    )


def report(rows: Iterable[tuple[str, Sequence[Row]]], measured: Mapping[str, BySeed]) -> str:
    """Tables and what differs from the paper's order, as Markdown.

    Args:
        rows: title and rows of each table.
        measured: box APs by the row's config.
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
