"""Images keep their objects in every format, whatever their files and folders are called."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.small_datasets import CLASSES, read, record
from vfnet_d2.data.formats.opening import FORMATS, open_dataset
from vfnet_d2.data.formats.write import write_dataset

# What may stand in a name on most file systems.
_LETTERS = st.characters(blacklist_categories=("C", "Zl", "Zp"), blacklist_characters='/\\:*?"<>|')
_PART = st.text(_LETTERS, min_size=1, max_size=8).filter(
    lambda text: not text.startswith(".") and text == text.strip() and not text.endswith(".")
)
_FOLDERS = st.lists(_PART | st.sampled_from(["images", "labels", "train"]), max_size=3)


@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    paths=st.lists(
        st.tuples(_FOLDERS, _PART, st.sampled_from([".png", ".PNG", ".jpg", ".bmp"])),
        min_size=1,
        max_size=4,
        unique_by=lambda path: ("/".join([*path[0], path[1]])).casefold(),
    )
)
@example(paths=[(["a", "images"], "x", ".png"), (["b", "images"], "x", ".png")])
@example(paths=[(["a"], "x", ".png"), (["b"], "x", ".png")])
@example(paths=[([], "a%20b #1", ".jpg")])
def test_names_of_files(format_name: str, paths: list[tuple[list[str], str, str]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        records = []
        for number, (folders, stem, suffix) in enumerate(paths, start=1):
            path = Path(scratch, "old", *folders, stem + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            # The number of the image is its width, and the height of its box.
            Image.new("L", (10 + number, 20)).save(path)
            box = (0, 0, 5, number)
            records.append(record(path, size=(10 + number, 20), boxes=[box], image_id=number))
        write_dataset(Path(scratch, "new"), format_name, records, CLASSES)
        found, findings = read(open_dataset(Path(scratch, "new")))
        assert findings == []
        seen = []
        for item in found:
            with Image.open(item.path) as image:
                assert image.size == (item.width, item.height)
            seen.append((item.width, [a.box[3] for a in item.annotations]))
        expected = [(10 + number, [pytest.approx(number)]) for number in range(1, len(paths) + 1)]
        assert sorted(seen) == expected
