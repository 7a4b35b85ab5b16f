"""Tests of vfnet_d2.evaluation.report.write."""

import json
from pathlib import Path

import pytest

from tests.helpers.report_page import report_of
from vfnet_d2.evaluation.report.write import write_report


def test_files(tmp_path: Path) -> None:
    report = report_of()
    report["misses"][0]["picture"] = "data:image/gif;base64,"
    data, page = write_report(report, tmp_path / "new")
    assert (data.name, page.name) == ("report.json", "report.html")
    del report["misses"][0]["picture"]
    assert json.loads(data.read_text()) == report
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_an_old_report_stays_if_the_new_one_fails(tmp_path: Path) -> None:
    write_report(report_of(), tmp_path)
    before = (tmp_path / "report.json").read_text()
    with pytest.raises(ValueError, match="JSON"):
        write_report({**report_of(), "extra": float("nan")}, tmp_path)
    assert (tmp_path / "report.json").read_text() == before
