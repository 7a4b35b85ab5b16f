"""Tests of vfnet_d2.paper.oracle_report."""

import json
from pathlib import Path

import pytest

from tests.helpers.oracle_reports import PAPER, table_1
from vfnet_d2.paper.oracle_report import format_report, write_report


def test_the_report_holds_every_column_in_order() -> None:
    report = table_1()
    assert [entry["AP"] for entry in report["oracles"]] == PAPER
    assert report["oracles"][3] == {
        "name": "iou_centerness",
        "label": "centerness := IoU",
        "centerness": True,
        **{"AP": 43.5, "AP50": 53.5, "AP75": 33.5, "APs": None, "APm": None, "APl": None},
    }


def test_ap_lost_to_ranking() -> None:
    # Class score := IoU is 74.7; used with centerness the model reaches 39.2, without it 38.5.
    assert table_1()["ranking"]["ap_lost"] == pytest.approx(74.7 - 39.2)
    assert table_1(quality=False)["ranking"]["ap_lost"] == pytest.approx(74.7 - 38.5)


def test_the_table_of_a_model_with_centerness() -> None:
    lines = format_report(table_1()).splitlines()
    assert lines[0] == "FCOSATSS on coco_2017_val, 5000 images: oracles"
    assert lines[1].split("  ")[-1].strip() == "APl"
    rows = [line.split() for line in lines[3:13]]
    assert [float(row[-6]) for row in rows] == PAPER
    assert rows[8] == ["class", "score", ":=", "IoU", "no", "74.7", "84.7", "64.7", "-", "-", "-"]


def test_the_table_of_a_model_without_centerness_does_not_speak_of_it() -> None:
    text = format_report(table_1(quality=False))
    assert "centerness" not in text
    assert text.splitlines()[3].split() == ["as", "predicted", "38.5", "48.5", "28.5", *"---"]


def test_the_figures_of_ranking() -> None:
    lines = format_report(table_1()).splitlines()
    assert lines[-1] == "AP lost to ranking (class score := IoU, minus as used): 35.5"
    # Bins of 1, 1 and 2: (0.05 + 0.35 + 2 * |0.95 - 0.5|) / 4 = 0.325.
    # Ranks less their mean of the scores -1.5 -0.5 1 1, of the IoUs -1.5 0.5 1.5 -0.5:
    # (2.25 - 0.25 + 1.5 - 0.5) / sqrt(4.5 * 5) = 0.632. Kendall: 4 of 6 pairs agree, 1 does not,
    # 1 is tied: 3 / sqrt(5 * 6).
    assert lines[-3].split() == ["detections", "4", "0.632", "0.548", "0.325"]
    assert lines[-2].split() == ["foreground", "points", "0", "-", "-", "-"]


def test_files(tmp_path: Path) -> None:
    report = table_1()
    paths = write_report(report, tmp_path / "new")
    assert [path.name for path in paths] == [
        *("report.json", "report.txt", "oracles.png", "reliability.png")
    ]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    assert json.loads(paths[0].read_text()) == report
    assert paths[1].read_text() == format_report(report) + "\n"
