"""Tests of vfnet_d2.inference.gallery."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from PIL import Image

from tests.helpers.coco_data import registered_coco, write_coco
from tests.helpers.quick_model import YAML, quick_model, save_weights
from vfnet_d2.inference.gallery import draw_dataset, draw_files
from vfnet_d2.inference.predictor import Predictor, load_predictor

# Six images, 120 wide and 80 high: more than the overview shows.
WIDTH, HEIGHT, IMAGES = 120, 80, 6
CAPTION, MARGIN = 24, 6
ROW = (2 * WIDTH + MARGIN, HEIGHT + CAPTION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO dataset with an object in each image."""
    path = tmp_path_factory.mktemp("coco")
    write_coco(path, [[{"bbox": [30, 20, 40, 30]}]] * IMAGES, size=(WIDTH, HEIGHT))
    return path


@pytest.fixture(scope="module")
def predictor(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A model of random weights whose test set is the dataset."""
    weights = save_weights(quick_model(), tmp_path_factory.mktemp("weights") / "model.pth")
    with registered_coco(folder) as name:
        DatasetCatalog.get(name)  # fills in the names of the classes
        options = ["MODEL.WEIGHTS", str(weights), "DATASETS.TEST", f"('{name}',)"]
        yield load_predictor(YAML, [*options, "TEST.DETECTIONS_PER_IMAGE", "5"])


def files(folder: Path, count: int) -> list[str]:
    return [str(folder / "images" / f"{index:06d}.png") for index in range(count)]


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


# -- files --------------------------------------------------------------------------------------


def test_a_picture_for_each_file(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "pictures"
    paths = draw_files(predictor, files(folder, 2), str(output), score_thresh=0.3, scale=2)
    assert paths == [output / "000000.png", output / "000001.png"]
    assert [pixels(path).shape for path in paths] == [(2 * HEIGHT, 2 * WIDTH, 3)] * 2


def test_detections_are_drawn(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    source = files(folder, 1)
    kinds = {"all": 0.05, "none": 2.0}
    pictures = {
        kind: pixels(draw_files(predictor, source, str(tmp_path / kind), score_thresh=score)[0])
        for kind, score in kinds.items()
    }
    assert np.array_equal(pictures["none"], pixels(source[0]))
    assert not np.array_equal(pictures["all"], pictures["none"])


def test_a_missing_file_stops_before_anything_is_written(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    names = [*files(folder, 1), "none.jpg", "no_other.jpg"]
    with pytest.raises(FileNotFoundError, match=r"2 input images do not exist, first none\.jpg"):
        draw_files(predictor, names, str(tmp_path / "out"), score_thresh=0.3)
    assert not (tmp_path / "out").exists()


def test_files_of_one_name_each_have_a_picture(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    names = []
    for place in ("left", "right"):
        (tmp_path / place).mkdir()
        names.append(str(tmp_path / place / "view.png"))
    for name, source in zip(names, files(folder, 2), strict=True):
        Image.fromarray(pixels(source)).save(name)
    paths = draw_files(predictor, names, str(tmp_path / "out"), score_thresh=2.0)
    assert [path.name for path in paths] == ["view.png", "view_2.png"]
    assert [pixels(path).tolist() for path in paths] == [pixels(n).tolist() for n in names]


def test_input_files_are_never_written_over(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    name = tmp_path / "view.png"
    name.write_bytes(Path(files(folder, 1)[0]).read_bytes())
    before = name.read_bytes()
    (path,) = draw_files(predictor, [str(name)], str(tmp_path), score_thresh=0.05)
    assert path == tmp_path / "view_2.png" and path.is_file()
    assert name.read_bytes() == before


# -- a dataset ----------------------------------------------------------------------------------


def test_truth_beside_predictions_and_an_overview(predictor: Predictor, tmp_path: Path) -> None:
    paths = draw_dataset(predictor, str(tmp_path), max_images=99, score_thresh=0.3)
    names = [*(f"{index:06d}.png" for index in range(IMAGES)), "overview.png"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    rows = [pixels(path) for path in paths[:-1]]
    assert {row.shape for row in rows} == {(ROW[1], ROW[0], 3)}
    # The overview shows the first five, with white between.
    overview = pixels(paths[-1])
    assert overview.shape == (5 * ROW[1] + 4 * MARGIN, ROW[0], 3)
    step = ROW[1] + MARGIN
    for index, row in enumerate(rows[:5]):
        assert np.array_equal(overview[index * step : index * step + ROW[1]], row)


def test_truth_is_on_the_left(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    path, _ = draw_dataset(predictor, str(tmp_path), max_images=1, score_thresh=2.0)
    source = pixels(files(folder, 1)[0])
    left, right = pixels(path)[CAPTION:, :WIDTH], pixels(path)[CAPTION:, -WIDTH:]
    assert np.array_equal(right, source)  # no prediction scores 2
    assert (left[20:50, 30] != source[20:50, 30]).any(axis=1).all()  # the box's left edge


def test_enlarged(predictor: Predictor, tmp_path: Path) -> None:
    path, _ = draw_dataset(predictor, str(tmp_path), max_images=1, score_thresh=0.3, scale=3)
    assert pixels(path).shape == (3 * HEIGHT + CAPTION, 6 * WIDTH + MARGIN, 3)


def test_each_image_is_predicted_once(
    predictor: Predictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = Predictor.__call__

    def counted(self: Predictor, item: dict[str, Any]) -> Instances:
        seen.append(item["file_name"])
        return original(self, item)

    monkeypatch.setattr(Predictor, "__call__", counted)
    draw_dataset(predictor, str(tmp_path), max_images=2, score_thresh=0.3)
    assert seen == files(folder, 2)


def test_images_of_one_name_in_two_folders_keep_their_pictures(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    copies = []
    for number, name in enumerate(["a/same.png", "b/same.png", "b/overview.png"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.open(files(folder, 1)[0]).save(path)
        copies.append({"file_name": str(path), "image_id": number, "annotations": []})
    metadata_of = predictor.test_datasets[0]
    DatasetCatalog.register("copies", lambda: copies)
    MetadataCatalog.get("copies").set(thing_classes=MetadataCatalog.get(metadata_of).thing_classes)
    other = Predictor.of_model(predictor.model, predictor.mapper, test_datasets=["copies"])
    try:
        paths = draw_dataset(other, str(tmp_path / "out"), max_images=3, score_thresh=0.3)
    finally:
        DatasetCatalog.remove("copies")
        MetadataCatalog.remove("copies")
    assert [path.name for path in paths] == [
        "same.png",
        "same_2.png",
        "overview_2.png",
        "overview.png",
    ]
    assert all(path.exists() for path in paths)
