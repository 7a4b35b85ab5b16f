"""Tests of vfnet_d2.data.formats.write: what is written reads back equal."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.small_datasets import CLASSES, read, record, save_image
from vfnet_d2.data.formats.opening import FORMATS, open_dataset
from vfnet_d2.data.formats.records import Annotation, ImageRecord, box_area
from vfnet_d2.data.formats.values import as_name
from vfnet_d2.data.formats.write import (
    coco_content,
    image_names,
    new_folder,
    write_dataset,
    write_text,
)

# Letters, digits, signs and the space: what a class name may hold in every format.
_NAMES = st.text(st.characters(blacklist_categories=("C", "Zl", "Zp")), min_size=1, max_size=12)


@st.composite
def annotations(draw: st.DrawFn, width: int, height: int, classes: int) -> Annotation:
    """A box inside an image."""
    xs = sorted(draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    ys = sorted(draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    box = (xs[0], ys[0], xs[1], ys[1])
    index = draw(st.integers(0, classes - 1))
    return Annotation(box, index, draw(st.booleans()), box_area(box), "")


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[ImageRecord], tuple[str, ...]]:
    """Up to three images of any size, with up to four objects each, and class names."""
    names = draw(st.lists(_NAMES.map(as_name).filter(bool), min_size=1, max_size=4, unique=True))
    records = []
    for number in range(draw(st.integers(1, 3))):
        size = draw(st.tuples(st.integers(1, 5000), st.integers(1, 40)))
        item = annotations(*size, classes=len(names))
        objects = draw(st.lists(item, max_size=4))
        records.append(
            record(f"{number}.png", size=size, image_id=number)._replace(annotations=tuple(objects))
        )
    return records, tuple(names)


def written_and_read(
    format_name: str, records: Sequence[ImageRecord], classes: tuple[str, ...]
) -> tuple[list[ImageRecord], tuple[str, ...]]:
    """Write a dataset with images of the right sizes and read it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        placed = []
        for item in records:
            path = folder / "old" / item.path
            path.parent.mkdir(exist_ok=True)
            Image.new("1", (item.width, item.height)).save(path)
            placed.append(item._replace(path=str(path)))
        write_dataset(folder / "new", format_name, placed, classes)
        reader = open_dataset(folder / "new")
        assert reader.name == format_name
        found, findings = read(reader)
        assert findings == []
        return found, reader.classes


# Relative to the longer side. COCO and VOC add and subtract (x + (x2 - x), x + 1 - 1), JSONL
# divides and multiplies: a few roundings of 2**-53. YOLO has 8 decimals: half a unit for the
# centre and a quarter for half the side.
TOLERANCE = {"coco": 1e-14, "voc": 1e-14, "jsonl": 1e-14, "yolo": 0.75e-8 + 1e-14}


@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(dataset=datasets())
def test_round_trip(format_name: str, dataset: tuple[list[ImageRecord], tuple[str, ...]]) -> None:
    records, classes = dataset
    found, found_classes = written_and_read(format_name, records, classes)
    assert found_classes == classes
    assert [(r.width, r.height) for r in found] == [(r.width, r.height) for r in records]
    for old, new in zip(records, found, strict=True):
        # YOLO files have no crowds.
        expected = [a for a in old.annotations if format_name != "yolo" or not a.iscrowd]
        assert [(a.class_index, a.iscrowd) for a in new.annotations] == [
            (a.class_index, a.iscrowd) for a in expected
        ]
        # VOC's coordinates are one larger in the file.
        bound = TOLERANCE[format_name] * (max(old.width, old.height) + 1)
        for wanted, got in zip(expected, new.annotations, strict=True):
            assert got.box == pytest.approx(wanted.box, rel=0, abs=bound)


def test_coco_keeps_image_ids_and_area_and_counts_from_one() -> None:
    odd = record(boxes=[(1, 2, 4, 6)], image_id=70)
    odd = odd._replace(annotations=(odd.annotations[0]._replace(area=5.5, iscrowd=True),))
    content = coco_content([odd], ["x/a.png"], CLASSES)
    assert content["images"] == [{"id": 70, "file_name": "x/a.png", "width": 100, "height": 50}]
    assert content["annotations"] == [
        {
            "id": 1,
            "image_id": 70,
            "category_id": 1,
            "bbox": [1, 2, 3, 4],
            "area": 5.5,
            "iscrowd": 1,
        }
    ]
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def test_what_is_not_finite_is_left_out() -> None:
    item = record(boxes=[(1, 2, float("nan"), 6), (1, 2, 3, float("inf")), (1, 2, 3, 4)])
    content = coco_content([item], ["a.png"], CLASSES)
    assert [a["bbox"] for a in content["annotations"]] == [[1, 2, 2, 2]]
    json.dumps(content, allow_nan=False)


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    # The whole image of 100 x 50 is 1 ... 100 and 1 ... 50 in VOC.
    save_image(tmp_path / "a.png")
    item = record(tmp_path / "a.png", boxes=[(0, 0, 100, 50)])
    write_dataset(tmp_path / "voc", "voc", [item], CLASSES)
    tree = ElementTree.parse(tmp_path / "voc" / "Annotations" / "a.xml")
    box = {corner.tag: corner.text for corner in tree.find("object/bndbox") or ()}
    assert box == {"xmin": "1", "ymin": "1", "xmax": "100", "ymax": "50"}


def test_names_keep_their_folders_and_stay_distinct() -> None:
    paths = ["/d/a/x.png", "/d/b/x.png", "/d/b/x.jpg", "/d/b/X.png"]
    records = [record(path) for path in paths]
    # Label files would be b/x.txt for three of them, on a file system that ignores case.
    assert image_names(records) == ["a/x.png", "b/x.png", "b/x_2.jpg", "b/X_3.png"]
    assert image_names(records, flat=True) == ["a_x.png", "b_x.png", "b_x_2.jpg", "b_X_3.png"]


def test_nothing_is_left_of_a_failed_write(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_dataset(tmp_path / "new", "coco", [record(tmp_path / "missing.png")], CLASSES)
    assert not any(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="exists and is not empty"), new_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_text_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    write_text(tmp_path / "a.txt", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "new"}
