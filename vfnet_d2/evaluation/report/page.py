"""The report as one HTML page that needs no other file, no network and no script."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vfnet_d2.evaluation.report.charts import (
    Line,
    line_chart,
    reliability_chart,
    small_chart,
)

_RECALLS = [step / 100 for step in range(101)]
# A matrix of more classes is too large to read; the page then lists the confusions alone.
_LARGEST_MATRIX = 25
_SMALL_CHARTS = 24
_CONFUSIONS = 10
# Rarer confusions than this part of the objects are no headline.
_WORTH_SAYING = 0.05
_UNEQUAL_SIZES = 20.0  # AP between the best and the worst size that are worth saying


def render_page(report: Mapping[str, Any]) -> str:
    """Return the HTML of a report.

    Args:
        report: of :func:`~vfnet_d2.evaluation.report.build.make_report`, with the pictures of
            :func:`~vfnet_d2.evaluation.report.gallery.add_pictures` or without.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = show_percent
    environment.filters["part"] = show_part
    files = resources.files("vfnet_d2.evaluation.report")
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    page = template.render(
        report=report,
        style=Markup((files / "page.css").read_text(encoding="utf-8")),  # ours, so trusted
        first=takeaways(report),
        charts=_charts(report),
        matrix=matrix_rows(report["confusion"]),
        show_matrix=len(report["classes"]) <= _LARGEST_MATRIX,
        confusions=top_confusions(report["confusion"]),
        weakest=_weakest_curves(report),
        small_chart=small_chart,
        # At least 1, so that costs of next to nothing do not look large.
        largest_cost=max(1.0, *(entry["dAP"] or 0.0 for entry in report["errors"]["kinds"])),
    )
    return page.lstrip()  # what defines the macros leaves empty lines


def show_percent(value: float | None) -> str:
    """A figure in percent, with one digit after the point; a dash where it is not defined."""
    return "–" if value is None else f"{value:.1f}"  # noqa: RUF001


def show_part(value: float | None) -> str:
    """A part of 1 with two digits, or a dash."""
    return "–" if value is None else f"{value:.2f}"  # noqa: RUF001


def takeaways(report: Mapping[str, Any]) -> list[str]:
    """What a reader should know first, in sentences."""
    sentences = []
    best = report["thresholds"]["overall"]
    if best is not None:
        sentences.append(
            f"With a score threshold of {best['threshold']:.2f}, F1 is highest: "
            f"{100 * best['precision']:.0f} % of the detections are right and "
            f"{100 * best['recall']:.0f} % of the objects are found."
        )
    costs = [entry for entry in report["errors"]["kinds"] if entry["dAP"] is not None]
    worst = max(costs, key=lambda entry: entry["dAP"], default=None)
    if worst is not None and worst["dAP"] > 0:
        name = "missed objects" if worst["name"] == "missed" else f"{worst['name']} errors"
        sentences.append(
            f"The most AP is lost to {name}: without them AP50 would be "
            f"{report['errors']['AP50'] + worst['dAP']:.1f} instead of "
            f"{report['errors']['AP50']:.1f}."
        )
    ranked = sorted(
        (entry for entry in report["classes"] if entry["AP"] is not None),
        key=lambda entry: entry["AP"],
    )
    if len(ranked) > 1:
        low, high = ranked[0], ranked[-1]
        sentences.append(
            f"The weakest class is {low['name']} (AP {low['AP']:.1f}), the strongest "
            f"{high['name']} (AP {high['AP']:.1f})."
        )
    sizes = sorted(
        (report["metrics"][key], size)
        for key, size in (("APs", "small"), ("APm", "medium-sized"), ("APl", "large"))
        if report["metrics"][key] is not None
    )
    if sizes and sizes[-1][0] - sizes[0][0] >= _UNEQUAL_SIZES:
        sentences.append(
            f"It depends on the size: {sizes[0][1]} objects have AP {sizes[0][0]:.1f}, "
            f"{sizes[-1][1]} ones {sizes[-1][0]:.1f}."
        )
    pairs = top_confusions(report["confusion"])
    if pairs and pairs[0]["count"] >= _WORTH_SAYING * pairs[0]["objects"]:
        pair = pairs[0]
        sentences.append(
            f"The most frequent confusion: {pair['truth']} taken for {pair['predicted']}, "
            f"{pair['count']} of {pair['objects']} objects."
        )
    return sentences


def matrix_rows(confusion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the confusion matrix: "label", "total", and "cells" with "count" and "share"."""
    rows = []
    for number, (label, counts) in enumerate(
        zip(confusion["labels"], confusion["matrix"], strict=True)
    ):
        total = sum(counts)
        cells = [
            {
                "count": count,
                "share": count / total if total else 0.0,
                "right": column == number,
                # Background that is taken for background is not counted by anybody.
                "blank": number == column == len(counts) - 1,
            }
            for column, count in enumerate(counts)
        ]
        rows.append({"label": label, "total": total, "cells": cells})
    return rows


def top_confusions(confusion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The most frequent pairs of different classes, the background aside."""
    labels, matrix = confusion["labels"][:-1], confusion["matrix"]
    pairs = [
        {
            "truth": truth,
            "predicted": predicted,
            "count": matrix[row][column],
            "objects": sum(matrix[row]),
        }
        for row, truth in enumerate(labels)
        for column, predicted in enumerate(labels)
        if row != column and matrix[row][column]
    ]
    return sorted(pairs, key=lambda pair: -pair["count"])[:_CONFUSIONS]


def _charts(report: Mapping[str, Any]) -> dict[str, Markup]:
    """The charts of the page, by name."""
    curves = [
        Line(f"IoU {curve['iou']:g}", _RECALLS, curve["mean"], colour)
        for colour, curve in enumerate(report["precision_recall"], start=1)
        if curve["mean"] is not None
    ]
    curve, value = report["thresholds"]["curve"], report["score_threshold"]["value"]
    scores = [min(max(score, 0.0), 1.0) for score in curve["scores"]]
    lines = [
        Line(name, scores, curve[key], colour)
        for colour, (name, key) in enumerate(
            (("F1", "f1"), ("precision", "precision"), ("recall", "recall")), start=1
        )
    ]
    return {
        "precision_recall": line_chart(curves, x_label="recall", y_label="precision"),
        "f1": line_chart(
            lines,
            x_label="score threshold",
            y_label="F1, precision, recall",
            marker=(min(max(value, 0.0), 1.0), f"{value:.2f}"),
        ),
        "reliability": reliability_chart(report["ranking"]["reliability"]),
    }


def _weakest_curves(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Precision-recall lines at IoU 0.5 of the classes of lowest AP50, weakest first."""
    curves = report["precision_recall"][0]["classes"]
    pairs = [
        (entry, values)
        for entry, values in zip(report["classes"], curves, strict=True)
        if values is not None
    ]
    pairs.sort(key=lambda pair: pair[0]["AP50"])
    return [
        {
            "name": entry["name"],
            "AP50": entry["AP50"],
            "line": Line(f"precision over recall of {entry['name']}", _RECALLS, values),
        }
        for entry, values in pairs[:_SMALL_CHARTS]
    ]
