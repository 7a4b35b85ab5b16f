"""Tests of vfnet_d2.paper.reliability_diagram."""

from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from PIL import Image

from tests.helpers.oracle_reports import table_1
from vfnet_d2.paper.reliability_diagram import draw_reliability


@pytest.fixture
def panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Axes of a drawn diagram: reliabilities of the two populations, then their counts."""
    made: list[Any] = []

    class Recorded(matplotlib.figure.Figure):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(matplotlib.figure, "Figure", Recorded)
    draw_reliability(table_1(), tmp_path / "reliability.png")
    return list(made[0].axes)


def bars(axes: Any) -> dict[float, float]:
    """Height of each bar that has one, by its left edge."""
    return {
        round(bar.get_x(), 6): bar.get_height() for bar in axes.patches if bar.get_height() != 0
    }


def test_mean_iou_over_score(panels: list[Any]) -> None:
    # Of the scores 0.05, 0.15, 0.95, 0.95 with IoUs 0, 0.5, 0.75, 0.25.
    assert bars(panels[0]) == {0.1: 0.5, 0.9: 0.5}


def test_counts_over_score(panels: list[Any]) -> None:
    assert bars(panels[2]) == {0.0: 1, 0.1: 1, 0.9: 2}


def test_a_population_may_be_empty(panels: list[Any]) -> None:
    assert bars(panels[1]) == bars(panels[3]) == {}
    assert "Spearman -" in panels[1].get_title()


def test_both_axes_show_the_whole_range(panels: list[Any]) -> None:
    for axes in panels[:2]:
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 1), (0, 1))
        (diagonal,) = axes.lines
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = draw_reliability(table_1(), tmp_path / "new" / "reliability.png")
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (1080, 600))  # 9 x 5 inches of 120 dots
