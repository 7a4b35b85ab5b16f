"""Tests of vfnet_d2.data.loading."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from tests.helpers.coco_data import registered_coco, write_coco
from tests.helpers.log_lines import log_lines
from vfnet_d2.data.loading import (
    check_dataset_files,
    check_image_files,
    fill_in_crowds,
    load_dataset,
    remove_bad_boxes,
)
from vfnet_d2.shapes.dataset import ShapesConfig, register_shapes
from vfnet_d2.utils.errors import UserError

GOOD = {"bbox": [10, 20, 30, 40]}
NO_AREA = {"bbox": [10, 20, 0, 40]}
CROWD = {"bbox": [10, 20, 30, 40], "iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}}


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    with log_lines("vfnet_d2.data.loading") as lines:
        yield lines


# -- missing files ------------------------------------------------------------------------------


def test_missing_annotations_name_path_and_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", "/data/sets")
    with registered_coco(tmp_path) as name, pytest.raises(FileNotFoundError) as error:
        load_dataset(name, filter_empty=False)
    path = tmp_path / "annotations.json"
    assert f"dataset '{name}': {path} does not exist" in str(error.value)
    assert "DETECTRON2_DATASETS names (now /data/sets)" in str(error.value)


def test_missing_image_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    write_coco(tmp_path, [[GOOD]])
    (tmp_path / "images").rename(tmp_path / "pictures")
    with registered_coco(tmp_path) as name, pytest.raises(FileNotFoundError) as error:
        load_dataset(name, filter_empty=False)
    assert f"{tmp_path / 'images'} does not exist" in str(error.value)
    assert 'not set, so "datasets" in the working directory' in str(error.value)


def test_every_dataset_is_looked_for(tmp_path: Path) -> None:
    write_coco(tmp_path / "one", [[GOOD]])
    with (
        registered_coco(tmp_path / "one", name="one_of_two") as one,
        registered_coco(tmp_path / "two", name="two_of_two") as two,
        pytest.raises(FileNotFoundError, match="dataset 'two_of_two'"),
    ):
        load_dataset([one, two], filter_empty=False)


def test_missing_images_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path, [[GOOD], [GOOD], [GOOD]])
    for index in (1, 2):
        (tmp_path / "images" / f"{index:06d}.png").unlink()
    with registered_coco(tmp_path) as name, pytest.raises(FileNotFoundError) as error:
        load_dataset(name, filter_empty=False)
    first = re.escape(str(tmp_path / "images" / "000001.png"))
    assert re.search(f"2 of 3 images are missing, first {first}", str(error.value))


def test_an_image_in_a_folder_that_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError, match="1 of 1 images are missing, first /nowhere/a"):
        check_image_files(["some"], [{"file_name": "/nowhere/a.png"}])


def test_images_elsewhere_are_left_to_their_reader() -> None:
    check_image_files(["some"], [{"file_name": "s3://bucket/a.png"}, {"image": "in memory"}])


def test_images_without_a_folder_are_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    check_image_files(["some"], [{"file_name": "a.png"}])
    with pytest.raises(FileNotFoundError, match=r"first b\.png"):
        check_image_files(["some"], [{"file_name": "b.png"}])


def test_a_dataset_made_on_first_use_may_be_missing(tmp_path: Path) -> None:
    split = "shapes_of_the_dataset_test"
    register_shapes(tmp_path, splits={split: ShapesConfig(num_images=2, seed=0)})
    try:
        check_dataset_files(split)
        assert len(load_dataset(split, filter_empty=False)) == 2
        assert (tmp_path / split / "annotations.json").is_file()
    finally:
        DatasetCatalog.remove(split)
        MetadataCatalog.remove(split)


# -- bad boxes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([float("nan"), 20, 30, 40], "box [nan, 20.0, 30.0, 40.0] is not finite"),
        ([10, 20, float("inf"), 40], "is not finite"),
        ([10, 20, 0, 40], "has no area"),
        ([10, 20, 30, 0], "has no area"),
        ([40, 60, -30, 40], "box [40.0, 60.0, -30.0, 40.0] has no area"),
        ([40, 60, 30, -40], "has no area"),
        ([160, 20, 30, 40], "lies outside the image of 160 x 120 pixels"),
        ([-30, 20, 30, 40], "lies outside the image"),
        ([10, 120, 30, 40], "lies outside the image"),
        ([10, -40, 30, 40], "lies outside the image"),
    ],
)
def test_a_bad_box_is_taken_out_and_named(
    tmp_path: Path, warnings: list[str], box: list[float], problem: str
) -> None:
    # The bad one is the third annotation of the dataset, in the second image.
    write_coco(tmp_path, [[GOOD], [GOOD, {"bbox": box}]], size=(160, 120))
    with registered_coco(tmp_path) as name:
        dicts = load_dataset(name, filter_empty=False)
    assert [[a["bbox"] for a in item["annotations"]] for item in dicts] == [[GOOD["bbox"]]] * 2
    (warning,) = warnings
    assert warning.startswith("WARNING Left out 1 objects with bad boxes")
    assert f"{dicts[1]['file_name']}, annotation " in warning
    assert problem in warning


@pytest.mark.parametrize(
    "box", [[-29, 20, 30, 40], [159, 20, 30, 40], [10, -39, 30, 40], [10, 119, 30, 40]]
)
def test_a_box_of_which_one_pixel_is_inside_stays(
    tmp_path: Path, warnings: list[str], box: list[float]
) -> None:
    write_coco(tmp_path, [[{"bbox": box}]], size=(160, 120))
    with registered_coco(tmp_path) as name:
        (item,) = load_dataset(name, filter_empty=False)
    assert item["annotations"][0]["bbox"] == box
    assert not warnings


def test_annotation_id_is_named_where_there_is_one(warnings: list[str]) -> None:
    boxes = [{"bbox": [5, 5, 1, 1], "bbox_mode": BoxMode.XYXY_ABS}] * 2
    boxes[1] = {**boxes[1], "id": 4711}
    assert remove_bad_boxes([{"file_name": "a.png", "annotations": boxes}]) == 2
    assert "a.png, annotation number 0:" in warnings[0]
    assert "a.png, annotation 4711:" in warnings[0]


def test_corner_boxes_are_read_as_corners(warnings: list[str]) -> None:
    # As (x, y, width, height) the first would have an area and the second would not.
    boxes = [[50.0, 60.0, 40.0, 70.0], [10.0, 20.0, 40.0, 50.0]]
    annotations = [{"bbox": box, "bbox_mode": BoxMode.XYXY_ABS} for box in boxes]
    item: dict[str, Any] = {"image_id": 3, "width": 160, "height": 120, "annotations": annotations}
    assert remove_bad_boxes([item]) == 1
    assert [a["bbox"] for a in item["annotations"]] == boxes[1:]
    assert "3, annotation number 0" in warnings[0]


def test_of_many_problems_ten_are_shown_and_the_rest_is_counted(warnings: list[str]) -> None:
    bad = {"bbox": [5.0, 5.0, 0.0, 0.0], "bbox_mode": BoxMode.XYWH_ABS}
    dicts = [{"file_name": f"{index}.png", "annotations": [bad]} for index in range(12)]
    assert remove_bad_boxes(dicts) == 12
    (warning,) = warnings
    assert "Left out 12 objects" in warning
    assert "9.png" in warning and "10.png" not in warning
    assert warning.endswith("and 2 more")


def test_good_boxes_cause_no_warning(warnings: list[str]) -> None:
    annotations = [{"bbox": [5.0, 5.0, 9.0, 9.0], "bbox_mode": BoxMode.XYXY_ABS}]
    assert remove_bad_boxes([{"annotations": annotations}, {"file_name": "no annotations"}]) == 0
    assert not warnings


# -- empty images -------------------------------------------------------------------------------


@pytest.mark.parametrize(("filter_empty", "kept"), [(True, [0, 3]), (False, [0, 1, 2, 3, 4])])
def test_empty_images(tmp_path: Path, filter_empty: bool, kept: list[int]) -> None:
    # An object; nothing; a crowd alone; a crowd beside an object; an object that is taken out.
    write_coco(tmp_path, [[GOOD], [], [CROWD], [CROWD, GOOD], [NO_AREA]])
    with registered_coco(tmp_path) as name:
        dicts = load_dataset(name, filter_empty=filter_empty)
    assert [item["image_id"] for item in dicts] == kept


def test_several_datasets_are_joined(tmp_path: Path) -> None:
    for folder, boxes in (("one", [[GOOD]]), ("two", [[GOOD, GOOD], []])):
        write_coco(tmp_path / folder, boxes)
    with (
        registered_coco(tmp_path / "one", name="one_of_two") as one,
        registered_coco(tmp_path / "two", name="two_of_two") as two,
    ):
        dicts = load_dataset([one, two], filter_empty=False)
    assert [len(item["annotations"]) for item in dicts] == [1, 2, 0]


def test_images_without_any_annotations_key_are_empty() -> None:
    name = "images_alone"
    DatasetCatalog.register(name, lambda: [{"image_id": 0}, {"image_id": 1}])
    try:
        assert len(load_dataset(name, filter_empty=False)) == 2
        assert load_dataset(name, filter_empty=True) == []
    finally:
        DatasetCatalog.remove(name)


# -- crowds -------------------------------------------------------------------------------------


def test_every_object_says_whether_it_is_a_crowd(warnings: list[str]) -> None:
    flags: list[Any] = [0, 1, None, "0", "1", "false", True]
    annotations = [{"bbox": [0, 0, 5, 5], "iscrowd": flag} for flag in flags]
    dicts = [{"file_name": "a.png", "annotations": [*annotations, {"bbox": [0, 0, 5, 5]}]}]
    assert fill_in_crowds(dicts) == 5
    assert [a["iscrowd"] for a in dicts[0]["annotations"]] == [0, 1, 0, 0, 1, 0, 1, 0]
    assert "5 objects have no iscrowd, or it as text" in warnings[0]
    with pytest.raises(UserError, match=r"a.png: iscrowd must be 0 or 1, got 'maybe'"):
        fill_in_crowds([{"file_name": "a.png", "annotations": [{"iscrowd": "maybe"}]}])
