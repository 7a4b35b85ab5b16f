"""Tests of vfnet_d2.check.fix."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.check.fix import Change, write_fixed
from vfnet_d2.check.run import DatasetError, check_dataset
from vfnet_d2.data.formats.opening import open_dataset, open_splits


def fixed(source: Path, target: Path) -> list[Change]:
    return write_fixed(check_dataset(open_splits(source), workers=1).splits, target)


def coco(folder: Path, *boxes: list[Any], size: tuple[int, int] = (100, 50)) -> Path:
    """A COCO JSON of an image a.png, which is not written."""
    annotations = [
        {"id": i, "image_id": 7, "category_id": 1, "bbox": box, "area": 8, "iscrowd": 0}
        for i, box in enumerate(boxes, start=1)
    ]
    image = {"id": 7, "file_name": "a.png", "width": size[0], "height": size[1]}
    content = {
        "images": [image],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}],
    }
    return write_files(folder, {"annotations.json": json.dumps(content)})


def test_boxes(tmp_path: Path) -> None:
    inf = float("inf")
    boxes = [[1, 2, 4, 4], [90, 10, 20, 10], [5, 5, 0, 5], [9, 9, inf, 1], [200, 0, 5, 5]]
    coco(tmp_path / "old", *boxes, [50, 10, -5, 5])
    save_image(tmp_path / "old" / "a.png")
    changes = fixed(tmp_path / "old", tmp_path / "new")
    records, findings = read(open_dataset(tmp_path / "new"))
    assert findings == []
    assert boxes_of(records) == [[(1, 2, 5, 6), (90, 10, 100, 20)]]
    # Half of the second box is inside, and so half of its area of 8.
    assert [a.area for a in records[0].annotations] == [8, 4]
    assert [change.kind for change in changes] == ["clipped a box"] + 4 * ["left out a box"]
    assert "annotation 5: box (200, 0, 205, 5) in a.png of 100 x 50" in changes[3].place
    listed = (tmp_path / "new" / "changes.txt").read_text().splitlines()
    assert listed == [f"{change.kind}: {change.place}" for change in changes]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_an_image_that_was_annotated_as_stored(
    tmp_path: Path, orientation: int
) -> None:
    # A black image with a white rectangle, which is also the box.
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[5:20, 30:70] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    coco(tmp_path / "old", [30, 5, 40, 15])
    Image.fromarray(pixels).save(tmp_path / "old" / "a.png", exif=exif)
    changes = fixed(tmp_path / "old", tmp_path / "new")
    ((item,), _) = read(open_dataset(tmp_path / "new"))
    image = Image.open(item.path)
    assert (item.width, item.height) == image.size == (50, 100)
    assert image.getexif().get(0x0112, 1) == 1
    assert [annotation.box for annotation in item.annotations] == [image.convert("L").getbbox()]
    kinds = ["stored an image upright", "turned boxes with their image"]
    assert [change.kind for change in changes] == kinds


def test_boxes_of_an_upright_annotation_stay(tmp_path: Path) -> None:
    coco(tmp_path / "old", [10, 20, 30, 40], size=(50, 100))
    save_image(tmp_path / "old" / "a.png", orientation=6)
    fixed(tmp_path / "old", tmp_path / "new")
    records, _ = read(open_dataset(tmp_path / "new"))
    assert boxes_of(records) == [[(10, 20, 40, 60)]]


def test_normalised_boxes_follow_the_real_size(tmp_path: Path) -> None:
    label = {"label": "cat", "topX": 0.1, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6}
    details = {"width": 10, "height": 10}
    entry = {"image_url": "a.png", "image_details": details, "label": [label]}
    write_files(tmp_path / "old", {"train.jsonl": json.dumps(entry)})
    save_image(tmp_path / "old" / "a.png", size=(100, 50))
    changes = fixed(tmp_path / "old", tmp_path / "new")
    records, _ = read(open_dataset(tmp_path / "new"))
    assert boxes_of(records) == [[pytest.approx((10, 10, 50, 30))]]
    assert "100 x 50 instead of 10 x 10" in changes[0].place


def test_unreadable_images_and_annotations_are_left_out_and_listed(tmp_path: Path) -> None:
    labels = "0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n"
    files = {"data.yaml": "train: images\nnames: [cat]\n", "labels/a.txt": labels}
    write_files(tmp_path / "old", {**files, "images/b.png": "no image"})
    save_image(tmp_path / "old" / "images" / "a.png")
    changes = fixed(tmp_path / "old", tmp_path / "new")
    assert [change.kind for change in changes] == [
        "left out what cannot be read",
        "left out an image",
    ]
    assert check_dataset(open_splits(tmp_path / "new")).findings == []
    assert [path.name for path in (tmp_path / "new" / "images").iterdir()] == ["a.png"]


def test_the_original_stays_and_good_images_are_copied_as_they_are(tmp_path: Path) -> None:
    coco(tmp_path / "old", [-5, 2, 14, 4])
    save_image(tmp_path / "old" / "a.png")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    fixed(tmp_path / "old", tmp_path / "new")
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    assert (tmp_path / "new" / "images" / "a.png").read_bytes() == before["a.png"]


def test_splits_get_folders_that_open_again(tmp_path: Path) -> None:
    for split, size in (("train", (100, 50)), ("val", (100, 60))):
        coco(tmp_path / "old" / split, [1, 2, 3, 4], size=size)
        save_image(tmp_path / "old" / split / "a.png", size=size)
    fixed(tmp_path / "old", tmp_path / "new")
    assert list(open_splits(tmp_path / "new")) == ["train", "val"]


def test_what_was_converted_is_said(tmp_path: Path) -> None:
    path = coco(tmp_path / "old", [1, 2, 4, 4], [5, 5, 6, 6])
    content = json.loads((path / "annotations.json").read_text())
    first, second = content["annotations"]
    first["iscrowd"] = "1"
    del second["area"]
    (path / "annotations.json").write_text(json.dumps(content))
    save_image(path / "a.png")
    changes = fixed(path, tmp_path / "new")
    assert [change.kind for change in changes] == [
        "wrote a value as it was read",
        "filled in missing values",
    ]
    assert "iscrowd is text, such as '1': read as 1" in changes[0].place
    (item,), _ = read(open_dataset(tmp_path / "new"))
    assert [(a.iscrowd, a.area) for a in item.annotations] == [(True, 8), (False, 36)]


def test_objects_of_images_that_are_left_out_are_listed(tmp_path: Path) -> None:
    path = coco(tmp_path / "old", [1, 2, 4, 4])
    content = json.loads((path / "annotations.json").read_text())
    gone = [{"id": 8, "file_name": "../../x.png"}, {"id": 9, "file_name": "gone.png"}]
    content["images"] += [{**entry, "width": 9, "height": 9} for entry in gone]
    (first,) = content["annotations"]
    content["annotations"] += [{**first, "id": n, "image_id": n} for n in (8, 9)]
    (path / "annotations.json").write_text(json.dumps(content))
    save_image(path / "a.png")
    said = [str(change) for change in fixed(path, tmp_path / "new")]
    assert any("annotation 8: its image 8 cannot be used" in text for text in said)
    assert any("annotation 9: its image is left out" in text for text in said)


@pytest.mark.parametrize("boxes", [[[5, 5, 0, 5]], [[200, 0, 5, 5], [1, 1, -4, 2]]])
def test_a_copy_without_objects_is_not_written(tmp_path: Path, boxes: list[Any]) -> None:
    path = coco(tmp_path / "old", *boxes)
    save_image(path / "a.png")
    with pytest.raises(DatasetError, match=r"no object would be left; \d things .* such as"):
        fixed(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (path / "a.png").unlink()
    with pytest.raises(DatasetError, match="no image would be left"):
        fixed(path, tmp_path / "new")
