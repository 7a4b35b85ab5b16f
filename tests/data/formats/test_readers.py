"""Each reader against Detectron2's own or plain arithmetic, on files of random content."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from detectron2.data.datasets import load_coco_json
from detectron2.data.datasets.pascal_voc import load_voc_instances
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.data.formats.opening import open_dataset

WIDTH, HEIGHT = 100, 50
_QUICK = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
_NAMES = st.text("abcXYZ019_- éß", min_size=1, max_size=6).map(str.strip).filter(bool)
_PART = st.floats(0, 1, width=32)


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder for each example, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@_QUICK
@given(data=st.data())
def test_coco_is_read_as_detectron2_reads_it(data: st.DataObject) -> None:
    numbers = st.integers(1, 10**6)
    images = data.draw(st.lists(numbers, min_size=1, max_size=4, unique=True))
    categories = data.draw(st.lists(numbers, min_size=1, max_size=5, unique=True))
    side = st.integers(1, 40) | st.floats(1, 40)
    annotation = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(images),
            "category_id": st.sampled_from(categories),
            "bbox": st.tuples(side, side, side, side).map(list),
            "iscrowd": st.integers(0, 1),
        }
    )
    annotations = data.draw(st.lists(annotation, max_size=8))
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in images
        ],
        "annotations": [{"id": n, "area": 1, **a} for n, a in enumerate(annotations, start=1)],
        "categories": [{"id": i, "name": f"class {i}"} for i in categories],
    }
    with scratch() as folder:
        file = write_files(folder, {"x.json": content}) / "x.json"
        expected = {d["image_id"]: d for d in load_coco_json(str(file), str(folder))}
        records, _ = read(open_dataset(file))
    ids = sorted(categories)
    assert sorted(expected) == sorted(item.image_id for item in records)
    for item in records:
        found = [(ids[a.class_index], a.iscrowd, a.box) for a in item.annotations]
        assert found == [
            (a["category_id"], a["iscrowd"], (x, y, x + w, y + h))
            for a in expected[item.image_id]["annotations"]
            for x, y, w, h in [a["bbox"]]
        ]


def _voc(objects: list[tuple[str, list[int]]]) -> str:
    corners = ("xmin", "ymin", "xmax", "ymax")
    items = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for name, box in objects
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><filename>a.jpg</filename>{size}{items}</annotation>"


_OBJECTS = st.lists(
    st.tuples(_NAMES, st.lists(st.integers(1, HEIGHT), min_size=4, max_size=4)), max_size=6
)


@_QUICK
@given(objects=_OBJECTS)
def test_voc_is_read_as_detectron2_reads_it(objects: list[tuple[str, list[int]]]) -> None:
    files = {"Annotations/a.xml": _voc(objects), "ImageSets/Main/train.txt": "a\na\n"}
    with scratch() as folder:
        save_image(write_files(folder, files) / "JPEGImages" / "a.jpg")
        reader = open_dataset(folder)
        (item, _), _ = read(reader)
        (expected, _) = load_voc_instances(str(folder), "train", list(reader.classes))
    assert [(a.class_index, list(a.box)) for a in item.annotations] == [
        (a["category_id"], a["bbox"]) for a in expected["annotations"]
    ]


@_QUICK
@given(corners=st.lists(st.tuples(_PART, _PART), min_size=3, max_size=7))
def test_yolo_polygons_are_read_as_the_boxes_around_them(
    corners: list[tuple[float, float]],
) -> None:
    line = " ".join(f"{x!r} {y!r}" for x, y in corners)
    with scratch() as folder:
        save_image(folder / "images" / "a.png")
        write_files(
            folder,
            {
                "data.yaml": "train: images\ntask: segment\nnames: [a]\n",
                "labels/a.txt": "0 " + line,
            },
        )
        records, _ = read(open_dataset(folder))
    xs, ys = [x * WIDTH for x, _ in corners], [y * HEIGHT for _, y in corners]
    assert boxes_of(records) == [[(min(xs), min(ys), max(xs), max(ys))]]


@_QUICK
@given(
    box=st.tuples(_PART, _PART, _PART, _PART), spelling=st.sampled_from(["{}px", "{}", " {} PX"])
)
def test_jsonl_is_read_in_pixels(box: tuple[float, ...], spelling: str) -> None:
    details = {"width": spelling.format(WIDTH), "height": spelling.format(HEIGHT)}
    corners = dict(zip(("topX", "topY", "bottomX", "bottomY"), box, strict=True))
    line = {"image_url": "a.png", "image_details": details, "label": [{"label": "a", **corners}]}
    with scratch() as folder:
        records, _ = read(open_dataset(write_files(folder, {"x.jsonl": line})))
    sides = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    assert boxes_of(records) == [[tuple(v * s for v, s in zip(box, sides, strict=True))]]


def _jsonl(objects: list[tuple[str, list[int]]]) -> str:
    corners = ("topX", "topY", "bottomX", "bottomY")
    label = [
        {"label": name, **{c: v / HEIGHT for c, v in zip(corners, box, strict=True)}}
        for name, box in objects
    ]
    return json.dumps(
        {"image_url": "a.jpg", "image_details": {"width": 9, "height": 9}, "label": label}
    )


@pytest.mark.parametrize(
    ("place", "write"), [("{}/a.xml", _voc), ("{}.jsonl", _jsonl)], ids=["voc", "jsonl"]
)
@_QUICK
@given(train=_OBJECTS, val=_OBJECTS)
def test_classes_without_a_list_are_those_of_all_splits(
    place: str, write: Any, train: list[tuple[str, list[int]]], val: list[tuple[str, list[int]]]
) -> None:
    with scratch() as folder:
        write_files(folder, {place.format("train"): write(train), place.format("val"): write(val)})
        for split, objects in (("train", train), ("val", val)):
            reader = open_dataset(folder, split=split)
            (item,), _ = read(reader)
            assert reader.classes == tuple(sorted({name for name, _ in train + val}))
            assert [reader.classes[a.class_index] for a in item.annotations] == [
                name for name, _ in objects
            ]
