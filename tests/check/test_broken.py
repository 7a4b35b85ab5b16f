"""Every broken dataset of tests/data/broken gives exactly the findings it must give.

``tests/helpers/make_broken.py`` wrote the datasets.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.reference import DATA
from vfnet_d2.check.across import Split
from vfnet_d2.check.fix import Change, write_fixed
from vfnet_d2.check.run import DatasetError, check_dataset
from vfnet_d2.data.formats.findings import CODES
from vfnet_d2.data.formats.opening import open_dataset, open_splits
from vfnet_d2.data.formats.reader import FormatError

BROKEN = DATA / "broken"
EXPECTED = {
    path.parent.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(BROKEN.glob("*/expected.json"))
}
OPENED = [name for name, expected in EXPECTED.items() if "error" not in expected]


def readers(name: str) -> dict[str, Any]:
    """Open the broken dataset as its expected.json says."""
    options = dict(EXPECTED[name].get("open", {}))
    folder = BROKEN / name / "data"
    path, val = folder / options.pop("path", ""), options.pop("val", None)
    if val is None:
        return open_splits(path, **options)
    return {"train": open_dataset(path, **options), "val": open_dataset(folder / val, **options)}


def test_there_are_many() -> None:
    assert len(EXPECTED) >= 40


@pytest.mark.parametrize("name", OPENED)
def test_findings(name: str) -> None:
    expected = EXPECTED[name]["findings"]
    found = check_dataset(readers(name), workers=1).findings
    assert {f.code for f in found} == {e["code"] for e in expected}, "\n".join(map(str, found))
    for entry in expected:
        texts = [str(finding) for finding in found if finding.code == entry["code"]]
        assert any(all(phrase in text for phrase in entry["says"]) for text in texts), texts


# What a copy cannot correct: it needs a decision, or there is nothing left.
UNCORRECTED = {"image-in-two-splits", "duplicate-class", "different-classes"}
UNCORRECTED |= {"no-classes", "no-images", "no-objects"}


def assert_explained(splits: Mapping[str, Split], folder: Path, changes: list[Change]) -> None:
    """Every image and object of the original is in the copy, or has a change of its own."""
    kinds = Counter(change.kind for change in changes)
    copied = [json.loads(file.read_text()) for file in folder.rglob("annotations.json")]
    images = sum(len(split.records) for split in splits.values())
    objects = sum(len(r.annotations) for split in splits.values() for r in split.records)
    assert sum(len(c["images"]) for c in copied) + kinds["left out an image"] == images
    assert sum(len(c["annotations"]) for c in copied) + kinds["left out a box"] == objects


@pytest.mark.parametrize("name", OPENED)
def test_a_corrected_copy(name: str, tmp_path: Path) -> None:
    splits = check_dataset(readers(name), workers=1).splits
    try:
        changes = write_fixed(splits, tmp_path / "fixed")
    except DatasetError as error:
        assert "would be left" in str(error)
        assert not (tmp_path / "fixed").exists()
        return
    assert_explained(splits, tmp_path / "fixed", changes)
    left = check_dataset(open_splits(tmp_path / "fixed"), workers=1).errors
    assert [finding for finding in left if finding.code not in UNCORRECTED] == []


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in OPENED])
def test_what_cannot_be_opened(name: str) -> None:
    with pytest.raises(FormatError) as error:
        readers(name)
    assert all(phrase in str(error.value) for phrase in EXPECTED[name]["error"]), error.value


def test_every_code_has_a_case() -> None:
    covered = {entry["code"] for name in OPENED for entry in EXPECTED[name]["findings"]}
    assert covered == set(CODES)


def test_the_corpus_is_small() -> None:
    files = [path for path in Path(BROKEN).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
