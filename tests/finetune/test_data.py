"""Tests of vfnet_d2.finetune.data."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from tests.helpers.small_datasets import CLASSES, record, save_image, write_files
from vfnet_d2.check.run import DatasetError
from vfnet_d2.data.formats.reader import FormatError
from vfnet_d2.data.formats.write import write_dataset
from vfnet_d2.finetune.data import (
    TRAIN_NAME,
    VAL_NAME,
    TrainingData,
    find_training_data,
    held_out_images,
)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Twenty images, each of another size."""
    folder = tmp_path / "images"
    return [save_image(folder / f"{n:02d}.png", size=(100 + n, 50)) for n in range(20)]


def dataset(folder: Path, images: list[Path], format_name: str = "coco", empty: int = 0) -> str:
    """Write a dataset of one split, whose last images are empty."""
    records = [
        record(
            path,
            size=(100 + int(path.stem), 50),
            image_id=number,
            boxes=() if number > len(images) - empty else ((10, 20, 30, 40),),
        )
        for number, path in enumerate(images, start=1)
    ]
    write_dataset(folder, format_name, records, CLASSES)
    return str(folder)


def loaded(data: TrainingData) -> tuple[list[dict], list[dict]]:
    """What Detectron2 reads of both sets."""
    data.register(cache=Path(data.val.path).parent / "cache")
    return DatasetCatalog.get(TRAIN_NAME), DatasetCatalog.get(VAL_NAME)


def files(items: list[dict]) -> set[str]:
    return {Path(item["file_name"]).name for item in items}


@pytest.mark.parametrize("format_name", ["coco", "voc", "yolo", "jsonl"])
def test_one_image_in_ten_is_held_out(format_name: str, images: list[Path], tmp_path: Path) -> None:
    path = dataset(tmp_path / "data", images, format_name)
    data = find_training_data(path, held_out=tmp_path / "held_out")
    train, val = loaded(data)
    assert (len(train), len(val), data.num_images) == (18, 2, 18)
    assert not files(train) & files(val)
    assert len(files(train) | files(val)) == 20
    assert data.classes == CLASSES
    assert MetadataCatalog.get(VAL_NAME).thing_classes == list(CLASSES)
    for item in train + val:  # normalised formats round
        assert item["annotations"][0]["bbox"] == pytest.approx([10, 20, 30, 40], abs=1e-3)
    assert any("2 of 20 images, held out by lot (1 in 10, seed 0)" in note for note in data.notes)


def test_the_lot_is_the_same_each_time(images: list[Path], tmp_path: Path) -> None:
    path = dataset(tmp_path / "data", images)
    first, second = (
        files(loaded(find_training_data(path, held_out=tmp_path / name))[1]) for name in "ab"
    )
    assert first == second


def test_a_resumed_training_keeps_its_parts(images: list[Path], tmp_path: Path) -> None:
    held_out = tmp_path / "held_out"
    path = dataset(tmp_path / "data", images[:11])
    before = files(loaded(find_training_data(path, held_out=held_out))[1])
    larger = dataset(tmp_path / "larger", images)
    data = find_training_data(larger, held_out=held_out, resume=True)
    assert files(loaded(data)[1]) == before
    assert any("held out when it began" in note for note in data.notes)


def test_images_with_and_without_objects_are_drawn_separately() -> None:
    # 40 with and 20 without an object: 4 and 2 are 1 in 10.
    records = [record(boxes=((1, 1, 5, 5),) if n < 40 else ()) for n in range(60)]
    chosen = held_out_images(records)
    assert (sum(n < 40 for n in chosen), sum(n >= 40 for n in chosen)) == (4, 2)


def test_large_datasets_hold_a_thousand_out() -> None:
    assert len(held_out_images([record()] * 20000)) == 1000


def test_a_split_val_is_used(images: list[Path], tmp_path: Path) -> None:
    for name, part in (("train", images[:15]), ("val", images[15:])):
        dataset(tmp_path / "data" / name, part, "voc")
    data = find_training_data(str(tmp_path / "data"), held_out=tmp_path / "held_out")
    train, val = loaded(data)
    assert (len(train), len(val)) == (15, 5)
    assert not (tmp_path / "held_out").exists()


def test_val_may_be_of_another_format(images: list[Path], tmp_path: Path) -> None:
    path = dataset(tmp_path / "data", images[:15], "yolo")
    val = dataset(tmp_path / "val", images[15:], "coco")
    data = find_training_data(path, val=val, held_out=tmp_path / "held_out")
    assert [len(part) for part in loaded(data)] == [15, 5]


def test_images_without_objects_do_not_count(images: list[Path], tmp_path: Path) -> None:
    path = dataset(tmp_path / "data", images[:15], empty=5)
    val = dataset(tmp_path / "val", images[15:])
    assert find_training_data(path, val=val, held_out=tmp_path).num_images == 10


def test_errors_of_the_data_stop_and_name_the_command(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.json": {"images": [], "annotations": [], "categories": []}})
    with pytest.raises(DatasetError, match="vfnet data check"):
        find_training_data(str(tmp_path / "a.json"), held_out=tmp_path)


def test_one_image_cannot_be_divided(images: list[Path], tmp_path: Path) -> None:
    path = dataset(tmp_path / "data", images[:1])
    with pytest.raises(FormatError, match="give --val"):
        find_training_data(path, held_out=tmp_path)
