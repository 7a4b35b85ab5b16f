"""Tests of vfnet_d2.evaluation.learning_curve."""

import json
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from PIL import Image

from vfnet_d2.evaluation.learning_curve import draw_learning_curve

ENTRIES = [
    {"iteration": 19, "loss_cls": 1.0, "loss_bbox": 0.75, "loss_bbox_refine": 0.5},
    {"iteration": 39, "loss_cls": 0.5, "loss_bbox": 0.25, "loss_bbox_refine": 0.125},
    {"iteration": 39, "bbox/AP": 10.0, "bbox/AP50": 30.0, "bbox/AP75": 5.0},
    {"iteration": 59, "bbox/AP": 20.0, "bbox/AP50": 40.0, "bbox/AP75": 15.0},
]


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


def draw(folder: Path, entries: list[dict[str, float]]) -> Path:
    metrics = folder / "metrics.json"
    metrics.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return draw_learning_curve(metrics, folder / "new" / "curve.png")


def curves(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    """Points (x, y) of each line by its label."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines
    }


def test_a_picture_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    path = draw(tmp_path, ENTRIES)
    assert path == tmp_path / "new" / "curve.png"
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (1080, 408))  # 9 x 3.4 inches of 120 dots


def test_losses_over_iterations(tmp_path: Path, figures: list[Any]) -> None:
    draw(tmp_path, ENTRIES)
    assert curves(figures[0].axes[0]) == {
        "classification": ([19, 39], [1.0, 0.5]),
        "initial boxes": ([19, 39], [0.75, 0.25]),
        "refined boxes": ([19, 39], [0.5, 0.125]),
    }


def test_ap_over_iterations_done(tmp_path: Path, figures: list[Any]) -> None:
    # After iteration 39, the fortieth, forty are done.
    draw(tmp_path, ENTRIES)
    assert curves(figures[0].axes[1]) == {
        "AP": ([40, 60], [10.0, 20.0]),
        "AP50": ([40, 60], [30.0, 40.0]),
        "AP75": ([40, 60], [5.0, 15.0]),
    }


def test_a_run_without_evaluation_still_has_losses(tmp_path: Path, figures: list[Any]) -> None:
    assert draw(tmp_path, ENTRIES[:2]).is_file()
    assert curves(figures[0].axes[0])["classification"] == ([19, 39], [1.0, 0.5])
    assert all(points == ([], []) for points in curves(figures[0].axes[1]).values())
