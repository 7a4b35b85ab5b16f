"""Tests of vfnet_d2.check.text."""

import json

import pytest

from vfnet_d2.check.text import findings_json, findings_text, verdict
from vfnet_d2.data.formats.findings import CODES, Finding

MANY = [Finding("unknown-class", "a.txt", f"line {i}", "class index 9") for i in range(1, 1001)]
WARNING = Finding("duplicate-box", "b.json", "annotation 4", "twice")


def test_a_thousand_equal_findings_stay_readable() -> None:
    text = findings_text([WARNING, *MANY])
    lines = text.splitlines()
    assert len(lines) < 12
    assert lines[0].startswith("error unknown-class (1,000 times): object of a class")
    assert lines[1] == "    a.txt, line 1: class index 9"
    assert "    and 997 more" in lines
    assert "warning duplicate-box (once): object that is there twice" in text


def test_every_kind_has_a_title_and_a_remedy() -> None:
    for code, kind in CODES.items():
        text = findings_text([Finding(code, "file", "", "cause")])
        assert kind.title in text and "-> " in text
        assert kind.remedy.endswith(".") and kind.remedy.split()[0] in text


def test_json_has_every_finding() -> None:
    content = json.loads(json.dumps(findings_json([WARNING, *MANY])))
    assert (content["errors"], content["warnings"]) == (1000, 1)
    assert content["kinds"]["unknown-class"]["count"] == 1000
    assert content["findings"][-1] == {
        "severity": "warning",
        "code": "duplicate-box",
        "file": "b.json",
        "where": "annotation 4",
        "cause": "twice",
    }


@pytest.mark.parametrize(
    ("findings", "text"),
    [
        ([], "No problems found."),
        ([WARNING], "1 warning; nothing that stops training."),
        (MANY[:1], "1 error."),
        ([*MANY, WARNING, WARNING], "1,000 errors and 2 warnings."),
    ],
)
def test_verdict(findings: list[Finding], text: str) -> None:
    assert verdict(findings) == text
