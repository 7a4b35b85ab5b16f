"""Tests of vfnet_d2.paper.oracle_chart."""

from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from PIL import Image

from tests.helpers.oracle_reports import PAPER, WITHOUT_CENTERNESS, table_1
from vfnet_d2.paper.oracle_chart import draw_oracles


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are made."""
    made: list[Any] = []

    class Recorded(matplotlib.figure.Figure):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(matplotlib.figure, "Figure", Recorded)
    return made


def bars(axes: Any) -> list[float]:
    """Lengths of the bars from the top down."""
    rectangles = sorted(axes.patches, key=lambda bar: bar.get_y())
    assert all(bar.get_x() == 0 for bar in rectangles)
    return [bar.get_width() for bar in rectangles]


@pytest.mark.parametrize(("quality", "values"), [(True, PAPER), (False, WITHOUT_CENTERNESS)])
def test_a_bar_for_each_column(
    quality: bool, values: list[float], tmp_path: Path, figures: list[Any]
) -> None:
    draw_oracles(table_1(quality=quality), tmp_path / "oracles.png")
    (axes,) = figures[0].axes
    assert bars(axes) == values
    assert [text.get_text() for text in axes.texts] == [f"{value:.1f}" for value in values]


def test_bars_with_centerness_have_their_own_colour(tmp_path: Path, figures: list[Any]) -> None:
    report = table_1()
    draw_oracles(report, tmp_path / "oracles.png")
    (axes,) = figures[0].axes
    rectangles = sorted(axes.patches, key=lambda bar: bar.get_y())
    legend = dict(
        zip(
            [text.get_text() for text in axes.get_legend().get_texts()],
            [bar.get_facecolor() for bar in axes.get_legend().get_patches()],
            strict=True,
        )
    )
    names = {True: "with centerness", False: "without centerness"}
    assert [bar.get_facecolor() for bar in rectangles] == [
        legend[names[entry["centerness"]]] for entry in report["oracles"]
    ]


def test_the_axis_begins_at_0_and_holds_100(tmp_path: Path, figures: list[Any]) -> None:
    draw_oracles(table_1(), tmp_path / "oracles.png")
    low, high = figures[0].axes[0].get_xlim()
    assert low == 0 and high >= 100


def test_an_ap_that_is_not_defined(tmp_path: Path, figures: list[Any]) -> None:
    report = table_1()
    report["oracles"][0]["AP"] = None
    path = draw_oracles(report, tmp_path / "new" / "oracles.png")
    assert figures[0].axes[0].texts[0].get_text() == "-"
    with Image.open(path) as picture:
        assert picture.format == "PNG"
