"""Tests of vfnet_d2.data.formats.register: any format for Detectron2, and all formats alike."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from tests.helpers.log_lines import log_lines
from tests.helpers.small_datasets import read, save_image, write_files
from vfnet_d2.data.formats.opening import FORMATS, open_dataset
from vfnet_d2.data.formats.reader import FormatError
from vfnet_d2.data.formats.register import register_dataset
from vfnet_d2.data.formats.write import write_dataset
from vfnet_d2.data.loading import load_dataset
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.shapes.dataset import SHAPES_CLASSES, ShapesConfig, make_shapes

NAME = "dataset_of_the_register_test"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes dataset in every format; without crowds, which YOLO files do not have."""
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder / "source", ShapesConfig(num_images=12, seed=4, crowd_fraction=0))
    reader = open_dataset(folder / "source")
    records, _ = read(reader)
    for name in FORMATS:
        write_dataset(folder / name, name, records, reader.classes)
    return folder


def truth(dicts: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Size, and class and box of each object, by the name of the image."""
    return {
        Path(d["file_name"]).name: [
            (d["width"], d["height"]),
            *((a["category_id"], np.asarray(a["bbox"])) for a in d["annotations"]),
        ]
        for d in dicts
    }


def evaluated(dicts: list[dict[str, Any]]) -> dict[str, float]:
    """AP of detections that are the ground truth, moved by up to a tenth of the side."""
    evaluator = build_coco_evaluator(NAME)
    evaluator.reset()
    generator = np.random.default_rng(0)
    for item in dicts:
        boxes = np.asarray([a["bbox"] for a in item["annotations"]]).reshape(-1, 4)
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        moved = boxes + sides * generator.uniform(-0.1, 0.1, boxes.shape)
        found = Instances((item["height"], item["width"]))
        found.pred_boxes = Boxes(torch.as_tensor(moved, dtype=torch.float32))
        found.scores = torch.as_tensor(generator.uniform(0.1, 1, len(boxes)))
        found.pred_classes = torch.as_tensor([a["category_id"] for a in item["annotations"]])
        evaluator.process([item], [{"instances": found}])
    result: dict[str, float] = evaluator.evaluate()["bbox"]
    # Sizes are by area, which only COCO files record.
    return {key: value for key, value in result.items() if key not in ("APs", "APm", "APl")}


@pytest.mark.parametrize("name", FORMATS)
def test_shapes_are_alike_in_every_format(shapes: Path, tmp_path: Path, name: str) -> None:
    assert register_dataset(NAME, shapes / "source") == SHAPES_CLASSES
    expected, expected_ap = truth(DatasetCatalog.get(NAME)), evaluated(DatasetCatalog.get(NAME))
    assert 30 < expected_ap["AP"] < 99  # moved boxes tell more than perfect ones
    assert register_dataset(NAME, shapes / name, cache=tmp_path) == SHAPES_CLASSES
    dicts = load_dataset(NAME, filter_empty=False)
    found = truth(dicts)
    assert found.keys() == expected.keys()
    for image, (size, *objects) in expected.items():
        assert found[image][0] == size
        for (index, box), (found_index, found_box) in zip(objects, found[image][1:], strict=True):
            assert index == found_index
            # YOLO files have eight decimals of 160 pixels.
            np.testing.assert_allclose(found_box, box, rtol=0, atol=160e-8)
    assert evaluated(dicts) == pytest.approx(expected_ap)


def test_a_coco_file_is_used_as_it_is(shapes: Path, tmp_path: Path) -> None:
    register_dataset(NAME, shapes / "source", cache=tmp_path)
    DatasetCatalog.get(NAME)
    metadata = MetadataCatalog.get(NAME)
    assert metadata.json_file == str(shapes / "source" / "annotations.json")
    assert metadata.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}
    assert not any(tmp_path.iterdir())


def test_with_another_class_list_a_coco_file_is_written(shapes: Path, tmp_path: Path) -> None:
    classes = ["thing", *reversed(SHAPES_CLASSES)]
    register_dataset(NAME, shapes / "source", classes=classes, cache=tmp_path)
    DatasetCatalog.get(NAME)
    (file,) = tmp_path.iterdir()
    assert MetadataCatalog.get(NAME).json_file == str(file)
    categories = json.loads(file.read_text())["categories"]
    assert [category["name"] for category in categories] == classes


def test_loading_twice_and_registering_again(shapes: Path, tmp_path: Path) -> None:
    for name in ("yolo", "voc"):
        register_dataset(NAME, shapes / name, cache=tmp_path)
        assert len(DatasetCatalog.get(NAME)) == len(DatasetCatalog.get(NAME)) == 12
    assert MetadataCatalog.get(NAME).image_root == str(shapes / "voc")


def test_what_training_must_not_see_is_left_out_and_told(tmp_path: Path) -> None:
    save_image(tmp_path / "images" / "a.jpg")
    (tmp_path / "images" / "b.jpg").write_text("no image")
    labels = "0 0.5 0.5 0.2 0.2\n9 0.5 0.5 0.2 0.2\n"
    write_files(tmp_path, {"data.yaml": "train: images\nnames: [cat]\n", "labels/a.txt": labels})
    register_dataset(NAME, tmp_path, cache=tmp_path / "cache")
    with log_lines("vfnet_d2.data.formats.register") as lines:
        (item,) = DatasetCatalog.get(NAME)
    assert [a["category_id"] for a in item["annotations"]] == [0]
    assert "1 findings, 1 unreadable images left out" in lines[0]
    assert "a.txt, line 2: class index 9, expected 0 to 0" in lines[0]


def test_a_dataset_without_images(tmp_path: Path) -> None:
    write_files(tmp_path, {"data.yaml": "train: images\nnames: [cat]\n"})
    register_dataset(NAME, tmp_path, cache=tmp_path / "cache")
    with pytest.raises(FormatError, match=r"no usable image: .*images does not exist.*data check"):
        DatasetCatalog.get(NAME)


def test_a_dataset_without_classes(tmp_path: Path) -> None:
    write_files(tmp_path, {"data.yaml": "train: images\n"})
    with pytest.raises(FormatError, match="names no classes"):
        register_dataset(NAME, tmp_path)
