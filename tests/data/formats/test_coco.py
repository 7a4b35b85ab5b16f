"""Tests of vfnet_d2.data.formats.coco."""

from pathlib import Path
from typing import Any

import pytest
from detectron2.data.datasets import load_coco_json

from tests.helpers.small_datasets import read, save_image, write_files
from vfnet_d2.data.formats.coco import CocoReader
from vfnet_d2.data.formats.opening import open_dataset, open_splits
from vfnet_d2.shapes.dataset import ShapesConfig, make_shapes


def content(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 100, "height": 50}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 9,
                "bbox": [10, 20, 30, 5],
                "area": 99,
                "iscrowd": 0,
            }
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}],
        **changes,
    }


def test_a_dataset_reads_as_detectron2_reads_it(tmp_path: Path) -> None:
    config = ShapesConfig(num_images=12, seed=3, crowd_fraction=0.3)
    file = make_shapes(tmp_path / "shapes", config)
    expected = load_coco_json(str(file), str(file.parent / "images"))
    records, findings = read(open_dataset(tmp_path / "shapes"))
    assert findings == []
    assert any(a["iscrowd"] for d in expected for a in d["annotations"])
    for item, other in zip(records, expected, strict=True):
        assert (item.path, item.image_id) == (other["file_name"], other["image_id"])
        assert (item.width, item.height) == (other["width"], other["height"])
        found = [(a.class_index + 1, a.iscrowd, *a.box) for a in item.annotations]
        boxes = [(a["category_id"], a["iscrowd"], a["bbox"]) for a in other["annotations"]]
        corners = [(c, k, x, y, x + w, y + h) for c, k, (x, y, w, h) in boxes]
        assert found == corners


def test_classes_are_sorted_by_id(tmp_path: Path) -> None:
    reader = open_dataset(write_files(tmp_path, {"x.json": content()}))
    (item,), findings = read(reader)
    assert reader.classes == ("cat", "dog")
    assert item.annotations[0].class_index == 1
    assert [finding.code for finding in findings] == ["sparse-category-ids"]


def test_area_is_kept_and_ids_are_named(tmp_path: Path) -> None:
    (item,), _ = read(open_dataset(write_files(tmp_path, {"x.json": content()})))
    (annotation,) = item.annotations
    assert annotation.area == 99
    assert (annotation.annotation_id, annotation.where) == (1, "annotation 1")


def test_masks_are_ignored(tmp_path: Path) -> None:
    crowd = {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4], "iscrowd": 1}
    crowd["segmentation"] = {"counts": "damaged", "size": [1, 1]}
    (item,), _ = read(open_dataset(write_files(tmp_path, {"x.json": content(annotations=[crowd])})))
    assert item.annotations[0].iscrowd
    assert item.annotations[0].area == 12  # 3 x 4: the file gives none


def test_a_given_class_list_decides_the_indices(tmp_path: Path) -> None:
    path = write_files(tmp_path, {"x.json": content()})
    (item,), _ = read(open_dataset(path, classes=["dog", "cat", "cow"]))
    assert item.annotations[0].class_index == 0
    (item,), findings = read(open_dataset(path, classes=["cat"]))
    assert item.annotations == ()
    assert "class 'dog' is not one of: cat" in [finding.cause for finding in findings]


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("annotations.json", "a.png"),
        ("annotations.json", "images/a.png"),
        ("annotations/instances_val2017.json", "val2017/a.png"),
        ("annotations/instances_val2017.json", "images/val2017/a.png"),
        ("annotations/train.json", "images/a.png"),
    ],
)
def test_images_are_found_in_the_usual_folders(tmp_path: Path, file: str, image: str) -> None:
    write_files(tmp_path, {file: content()})
    save_image(tmp_path / image)
    (item,), _ = read(open_dataset(tmp_path))
    assert Path(item.path) == tmp_path / image


def test_a_size_that_is_not_recorded_is_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"x.json": content(images=[{"id": 7, "file_name": "a.jpg"}])})
    save_image(tmp_path / "a.jpg", size=(30, 20), orientation=6)
    (item,), _ = read(open_dataset(tmp_path))
    assert (item.width, item.height) == (20, 30)  # upright


def test_paths_of_windows(tmp_path: Path) -> None:
    entry = {"id": 7, "file_name": "day1\\a.png", "width": 100, "height": 50}
    write_files(tmp_path, {"x.json": content(images=[entry])})
    save_image(tmp_path / "day1" / "a.png")
    (item,), _ = read(open_dataset(tmp_path))
    assert Path(item.path) == tmp_path / "day1" / "a.png"


def test_splits_of_coco_itself(tmp_path: Path) -> None:
    names = ["instances_train2017", "instances_val2017", "captions_val2017", "image_info_test"]
    write_files(tmp_path, {f"annotations/{name}.json": content() for name in names})
    assert list(open_splits(tmp_path)) == ["train2017", "val2017"]
    assert open_dataset(tmp_path, split="val").path.name == "instances_val2017.json"


def test_reading_is_lazy(tmp_path: Path) -> None:
    write_files(tmp_path, {"x.json": "no JSON"})
    readings = CocoReader(tmp_path / "x.json").read()
    assert next(readings) is not None
