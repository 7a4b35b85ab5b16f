"""Tests of vfnet_d2.shapes.dataset."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vfnet_d2.shapes import dataset as shapes
from vfnet_d2.shapes.dataset import (
    GENERATOR_VERSION,
    SHAPES_CLASSES,
    SHAPES_SPLITS,
    ShapesConfig,
    make_shapes,
    register_shapes,
    render_image,
)

CONFIG = ShapesConfig(num_images=24, seed=4, crowd_fraction=0.2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a dataset of CONFIG, drawn in this process."""
    directory = tmp_path_factory.mktemp("root") / "shapes"
    make_shapes(directory, CONFIG, workers=0)
    return directory


@pytest.fixture
def split() -> Any:
    """The name of a split, forgotten afterwards."""
    name = "shapes_of_a_test"
    yield name
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def _digests(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _fail(*arguments: object) -> None:
    raise RuntimeError("no drawing here")


def test_pixels_are_those_of_the_generator_version() -> None:
    # Whoever changes what is drawn increases GENERATOR_VERSION and puts the new digest here.
    digest = hashlib.sha256()
    for name, config in SHAPES_SPLITS.items():
        for index in range(4):
            image, annotations = render_image(config, index)
            digest.update(name.encode() + image.tobytes() + json.dumps(annotations).encode())
    assert (GENERATOR_VERSION, digest.hexdigest()) == (
        1,
        "d6eb7d050b90cbea7b21bb57b4cbddedc5cce7af96c2a0bfb9680a7f523b6fda",
    )


def test_workers_do_not_change_a_byte(dataset: Path, tmp_path: Path) -> None:
    make_shapes(tmp_path / "shapes", CONFIG, workers=2)
    assert _digests(tmp_path / "shapes") == _digests(dataset)


def test_files_hold_the_rendered_pixels(dataset: Path) -> None:
    for index in (0, 23):
        with Image.open(dataset / "images" / f"{index:06d}.png") as image:
            pixels = np.asarray(image)
        assert pixels.tolist() == render_image(CONFIG, index)[0].tolist()


def test_coco_reads_the_rendered_annotations(dataset: Path) -> None:
    coco = COCO(str(dataset / "annotations.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(
        SHAPES_CLASSES
    )
    assert coco.getImgIds() == list(range(24))
    for index in coco.getImgIds():
        found = coco.loadAnns(coco.getAnnIds(imgIds=[index]))
        rest = [{k: v for k, v in item.items() if k not in ("id", "image_id")} for item in found]
        assert rest == render_image(CONFIG, index)[1]


def test_perfect_detections_have_average_precision_1(dataset: Path) -> None:
    coco = COCO(str(dataset / "annotations.json"))
    truth = coco.loadAnns(coco.getAnnIds())
    assert {item["iscrowd"] for item in truth} == {0, 1}
    detections = coco.loadRes(
        [
            {**{k: item[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.5}
            for item in truth
            if not item["iscrowd"]
        ]
    )
    evaluation = COCOeval(coco, detections, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_dataset_is_readable_by_everybody(dataset: Path) -> None:
    assert dataset.stat().st_mode == dataset.parent.joinpath("shapes/images").stat().st_mode


def test_same_dataset_is_used_again(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "render_image", _fail)
    assert make_shapes(dataset, CONFIG) == dataset / "annotations.json"


def test_dataset_of_other_arguments_is_kept_and_named(dataset: Path) -> None:
    other = ShapesConfig(num_images=24, seed=5, crowd_fraction=0.2)
    before = _digests(dataset)
    with pytest.raises(ValueError, match=r"shapes holds .*\(seed: found 4, expected 5\).* Delete"):
        make_shapes(dataset, other)
    assert _digests(dataset) == before


def test_directory_of_something_else_is_kept_and_named(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my only copy")
    with pytest.raises(ValueError, match=f"{tmp_path} exists but holds no shapes dataset"):
        make_shapes(tmp_path, CONFIG)
    assert (tmp_path / "thesis.tex").read_text() == "my only copy"


def test_missing_images_are_counted(tmp_path: Path) -> None:
    config = ShapesConfig(num_images=3, seed=0)
    make_shapes(tmp_path / "shapes", config)
    (tmp_path / "shapes/images/000001.png").unlink()
    with pytest.raises(FileNotFoundError, match="holds 2 PNG files, expected 3"):
        make_shapes(tmp_path / "shapes", config)


@pytest.mark.parametrize("workers", [0, 2])
def test_failure_leaves_nothing(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_late(config: ShapesConfig, index: int) -> Any:
        return _fail() if index == 20 else render_image(config, index)

    monkeypatch.setattr(shapes, "render_image", fail_late)
    with pytest.raises(RuntimeError, match="no drawing here"):
        make_shapes(tmp_path / "shapes", CONFIG, workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_loser_of_a_race_uses_the_winners_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, config = tmp_path / "shapes", ShapesConfig(num_images=2, seed=0)
    write = shapes._write_dataset

    def write_late(*arguments: Any) -> None:
        write(*arguments)
        monkeypatch.setattr(shapes, "_write_dataset", write)
        make_shapes(directory, config, workers=0)  # somebody else
        winners.update({path: path.stat().st_ino for path in directory.iterdir()})

    winners: dict[Path, int] = {}
    monkeypatch.setattr(shapes, "_write_dataset", write_late)
    assert make_shapes(directory, config, workers=0) == directory / "annotations.json"
    assert {path: path.stat().st_ino for path in directory.iterdir()} == winners
    assert list(tmp_path.iterdir()) == [directory]


def test_negative_workers_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers=-1"):
        make_shapes(tmp_path / "shapes", CONFIG, workers=-1)


def test_split_is_made_when_it_is_loaded(tmp_path: Path, split: str) -> None:
    register_shapes(tmp_path, splits={split: CONFIG})
    assert list(tmp_path.iterdir()) == []
    assert len(DatasetCatalog.get(split)) == 24


def test_detectron2_reads_the_rendered_annotations(tmp_path: Path, split: str) -> None:
    register_shapes(tmp_path, splits={split: CONFIG})
    for index, record in enumerate(DatasetCatalog.get(split)):
        expected = render_image(CONFIG, index)[1]
        assert Path(record["file_name"]).is_file()
        assert [
            (item["category_id"] + 1, item["bbox"], item["iscrowd"])
            for item in record["annotations"]
        ] == [(item["category_id"], item["bbox"], item["iscrowd"]) for item in expected]


def test_metadata_is_what_the_evaluator_needs(tmp_path: Path, split: str) -> None:
    register_shapes(tmp_path, splits={split: CONFIG})
    DatasetCatalog.get(split)  # which compares the classes with those of the file
    metadata = MetadataCatalog.get(split)
    assert metadata.thing_classes == ["circle", "square", "triangle", "star", "cross"]
    assert metadata.evaluator_type == "coco"
    assert Path(metadata.json_file).is_file()
    assert Path(metadata.image_root, "000000.png").is_file()


def test_registering_again_keeps_the_metadata(tmp_path: Path, split: str) -> None:
    register_shapes(tmp_path, splits={split: CONFIG})
    MetadataCatalog.get(split).thing_colors = [(0, 0, 0)]
    register_shapes(tmp_path, splits={split: CONFIG})
    assert MetadataCatalog.get(split).thing_colors == [(0, 0, 0)]


def test_registering_elsewhere_moves_the_split(tmp_path: Path, split: str) -> None:
    register_shapes(tmp_path / "first", splits={split: CONFIG})
    register_shapes(tmp_path / "second", splits={split: CONFIG})
    assert MetadataCatalog.get(split).image_root == str(tmp_path / "second" / split / "images")


@pytest.mark.parametrize(("value", "root"), [("/somewhere", "/somewhere"), (None, "datasets")])
def test_root_comes_from_the_environment(
    value: str | None, root: str, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    if value is not None:
        monkeypatch.setenv("DETECTRON2_DATASETS", value)
    register_shapes(splits={split: CONFIG})
    assert MetadataCatalog.get(split).json_file == f"{root}/{split}/annotations.json"


def test_default_splits() -> None:
    found = {name: (config.num_images, config.seed) for name, config in SHAPES_SPLITS.items()}
    assert found == {"shapes_train": (4000, 1), "shapes_val": (200, 2), "shapes_dev": (200, 3)}
