"""Tests of vfnet_d2.evaluation.report.charts."""

import re
from xml.etree import ElementTree

import pytest

from vfnet_d2.evaluation.report.charts import Line, line_chart, reliability_chart, small_chart


def elements(svg: str, tag: str, kind: str) -> list[ElementTree.Element]:
    """Elements of a chart by tag and class; well-formed XML is also valid inline SVG."""
    return [x for x in ElementTree.fromstring(svg).iter(tag) if kind in x.get("class", "")]


def test_points_of_a_line() -> None:
    # x from 44 to 520 - 14 = 506, y from 320 - 40 = 280 up to 10.
    svg = line_chart([Line("a", [0, 0.5, 1], [0, 1, 0.5])], x_label="x", y_label="y")
    (line,) = elements(svg, "polyline", "c1")
    assert line.get("points") == "44.0,280.0 275.0,10.0 506.0,145.0"


def test_marker() -> None:
    svg = line_chart([], x_label="x", y_label="y", marker=(0.5, "here"))
    (marker,) = elements(svg, "path", "marker")
    assert marker.get("d") == "M275.0 280.0V10.0"
    assert "here" in [text.text for text in ElementTree.fromstring(svg).iter("text")]


def test_labels_are_escaped() -> None:
    svg = line_chart([Line('<b>"', [0], [0])], x_label="<x>", y_label="&")
    assert ElementTree.fromstring(svg).get("aria-label") == '& over <x>: <b>"'
    assert ElementTree.fromstring(small_chart(Line("<b>", [0], [0]))).get("aria-label") == "<b>"


def test_bars() -> None:
    bins = [
        {"low": 0.0, "high": 0.5, "count": 100, "mean_iou": 0.5},
        {"low": 0.5, "high": 1.0, "count": 25, "mean_iou": 1.0},
    ]
    first, second = elements(reliability_chart(bins), "rect", "bar")
    assert [float(first.get(k)) for k in ("x", "y", "width", "height")] == [45, 145, 229, 135]
    # A quarter of the count: half of the way from 0.25 to 1.
    assert (first.get("opacity"), second.get("opacity")) == ("1.00", "0.62")


def test_an_empty_bin_has_no_height() -> None:
    bins = [{"low": 0.0, "high": 1.0, "count": 0, "mean_iou": None}]
    (bar,) = elements(reliability_chart(bins), "rect", "bar")
    assert float(bar.get("height", "1")) == 0


@pytest.mark.parametrize("svg", [small_chart(Line("a", [0], [1])), reliability_chart([])])
def test_colours_are_the_pages(svg: str) -> None:
    """Light and dark need the style sheet; a colour written here would not change."""
    assert not re.search(r'(fill|stroke)="', svg)
