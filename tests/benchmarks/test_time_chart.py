"""Tests of benchmarks.time_chart."""

from pathlib import Path

import pytest
from matplotlib.axes import Axes
from PIL import Image

from benchmarks.time_chart import draw_times

CHARTS = {
    "inference": {
        "model": {"backbone": 0.5, "head": 0.25, "total": 0.76},
        "floor": {"backbone": 0.5, "head": 0.125, "total": 0.62},
    }
}


def test_bars_are_stacked_in_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    barh = Axes.barh

    def spy(axis: Axes, row: int, width: float, **options: object) -> object:
        if width:
            drawn.append((row, options["left"], width))
        return barh(axis, row, width, **options)

    monkeypatch.setattr(Axes, "barh", spy)
    draw_times(CHARTS, tmp_path / "times.png")
    assert drawn == [(0, 0, 500), (0, 500, 250), (1, 0, 500), (1, 500, 125)]


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = draw_times(CHARTS, tmp_path / "times.png")
    with Image.open(path) as picture:
        assert picture.width > 800
    assert [p.name for p in tmp_path.iterdir()] == ["times.png"]
