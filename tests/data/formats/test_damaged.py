"""No reader raises, whatever its files hold: what is wrong becomes findings."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.broken_case import coco, encoded
from tests.helpers.broken_cases_other import CAT, FIRST, voc_xml
from vfnet_d2.check.run import check_dataset
from vfnet_d2.data.formats.opening import FORMATS

# A good file of each format, and the dataset's other files.
FILES = {
    "coco": ("annotations.json", json.dumps(coco()).encode()),
    "voc": ("Annotations/a.xml", voc_xml("a.png", CAT).encode()),
    "yolo": ("labels/a.txt", b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.5 0.1 0.5 0.5\n"),
    "jsonl": ("train.jsonl", json.dumps(FIRST).encode()),
}
OTHERS = {"yolo": {"data.yaml": b"train: images\nnames: [cat, dog]\n"}}
IMAGE = encoded(10)

_QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def check(format_name: str, name: str, content: bytes) -> None:
    """Check a dataset in which a file has this content."""
    with tempfile.TemporaryDirectory() as scratch:
        good_name, good = FILES[format_name]
        files = {good_name: good, "images/a.png": IMAGE, **OTHERS.get(format_name, {})}
        for file, data in {**files, name: content}.items():
            path = Path(scratch) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        reader = FORMATS[format_name]
        readers = {key: reader(place) for key, place in reader.splits(Path(scratch)).items()}
        report = check_dataset(readers, workers=1) if readers else None
        assert report is None or all(str(finding) for finding in report.findings)


@pytest.mark.parametrize("format_name", FORMATS)
@_QUICK
@given(data=st.data())
def test_damaged_bytes(format_name: str, data: st.DataObject) -> None:
    name, good = FILES[format_name]
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, len(good)))
    check(format_name, name, good[:start] + data.draw(st.binary(max_size=8)) + good[stop:])


# Values of every kind in the place of the one expected.
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to every part of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    for key, part in items:
        below = (*path, key)
        found += _paths(part, below) if isinstance(part, dict | list) else [below]
    return found


@pytest.mark.parametrize(("format_name", "good"), [("coco", coco()), ("jsonl", FIRST)])
@_QUICK
@given(data=st.data())
def test_values_of_other_kinds(format_name: str, good: Any, data: st.DataObject) -> None:
    content = json.loads(json.dumps(good))
    *parents, key = data.draw(st.sampled_from(_paths(content)))
    place = content
    for parent in parents:
        place = place[parent]
    place[key] = data.draw(_VALUES)
    check(format_name, FILES[format_name][0], json.dumps(content).encode())


@_QUICK
@given(words=st.lists(st.text(max_size=6) | st.floats().map(str), max_size=8))
@example(words=["1e999", "0", "0", "0", "0"])
@example(words=["nan", "0", "0", "0", "0"])
def test_lines_of_yolo(words: list[str]) -> None:
    check("yolo", "labels/a.txt", " ".join(words).encode(errors="surrogatepass"))


@_QUICK
@given(
    key=st.sampled_from(["names", "nc", "path", "train", "val", "names: {0"]),
    value=st.text(max_size=12) | _VALUES.map(lambda value: json.dumps(value)),
)
@example(key="train", value='"a\\0b"')
@example(key="path", value='"\\0"')
def test_values_in_data_yaml(key: str, value: str) -> None:
    text = f"train: images\nnames: [cat, dog]\n{key}: {value}\n"
    check("yolo", "data.yaml", text.encode(errors="surrogatepass"))


@_QUICK
@given(
    tag=st.sampled_from(["filename", "name", "xmin", "ymax", "width", "difficult"]),
    text=st.text(st.characters(blacklist_categories=("C",)), max_size=8) | st.floats().map(str),
)
@example(tag="filename", text="x" * 300)
def test_values_in_xml(tag: str, text: str) -> None:
    good = FILES["voc"][1].decode()
    start, stop = good.index(f"<{tag}>") if f"<{tag}>" in good else 0, good.find(f"</{tag}>")
    if stop < 0:
        changed = good.replace("</object>", f"<{tag}>{text}</{tag}></object>")
    else:
        changed = good[: start + len(tag) + 2] + text + good[stop:]
    check("voc", "Annotations/a.xml", changed.encode())
