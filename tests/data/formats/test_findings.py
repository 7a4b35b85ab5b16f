"""Tests of vfnet_d2.data.formats.findings."""

import pytest

from tests.helpers.reference import ROOT
from vfnet_d2.data.formats.findings import CODES, Finding


@pytest.mark.parametrize("code", CODES)
def test_the_document_lists_every_code(code: str) -> None:
    kind = CODES[code]
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert f"| `{code}` | {kind.severity} | {kind.title} |" in text


def test_a_finding_as_text() -> None:
    assert str(Finding("no-images", "a.json", "", "why")) == "a.json: why"
    assert str(Finding("no-images", "a.json", "image 3", "why")) == "a.json, image 3: why"
