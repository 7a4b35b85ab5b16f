"""Tests of vfnet_d2.inference.writers."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from pycocotools.coco import COCO

from vfnet_d2.data.formats.opening import open_dataset
from vfnet_d2.data.formats.records import records_of
from vfnet_d2.inference.sources import Frame, Source
from vfnet_d2.inference.writers import (
    CSV_COLUMNS,
    WRITERS,
    CocoWriter,
    CsvWriter,
    OutputNames,
    PredictionWriter,
    YoloWriter,
)

# The second name would break a CSV written by hand.
NAMES = ["cat", 'dog, "big"', "égale"]
HEIGHT, WIDTH = 60, 80
BOXES = [[10.5, 5.25, 30, 25], [0, 0, 80, 60]]
SCORES, CLASSES = [0.75, 0.5], [2, 0]


def frame(path: str, number: int | None = None) -> Frame:
    kind = "image" if number is None else "video"
    return Frame(Source(kind, path), number, np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8), 25.0)


def detections(count: int = 2) -> Instances:
    return Instances(
        (HEIGHT, WIDTH),
        pred_boxes=Boxes(torch.tensor(BOXES[:count]).reshape(-1, 4)),
        scores=torch.tensor(SCORES[:count]),
        pred_classes=torch.tensor(CLASSES[:count], dtype=torch.long),
    )


def written(
    make: Callable[..., PredictionWriter], folder: Path, *, frames: list[Frame] | None = None
) -> Path:
    """Write an image with two detections and one without, or other frames with two."""
    given = frames or [frame("in/a.jpg"), frame("in/b.jpg")]
    writer = make(OutputNames(folder, [item.source for item in given]), NAMES)
    for number, item in enumerate(given):
        writer.add(item, detections(2 if frames or number == 0 else 0))
    return writer.finish()


def test_coco_is_read_by_pycocotools(tmp_path: Path) -> None:
    found = COCO(str(written(CocoWriter, tmp_path)))
    assert [found.imgs[i]["file_name"] for i in (1, 2)] == ["in/a.jpg", "in/b.jpg"]
    assert (found.imgs[1]["height"], found.imgs[1]["width"]) == (HEIGHT, WIDTH)
    assert found.getAnnIds(imgIds=[2]) == []
    first, second = found.loadAnns(found.getAnnIds(imgIds=[1]))
    # 30 - 10.5 = 19.5; 25 - 5.25 = 19.75; 19.5 x 19.75 = 385.125
    assert (first["bbox"], first["area"]) == ([10.5, 5.25, 19.5, 19.75], 385.125)
    assert (second["bbox"], second["score"]) == ([0, 0, 80, 60], 0.5)
    names = [found.cats[annotation["category_id"]]["name"] for annotation in (first, second)]
    assert names == ["égale", "cat"]


def test_csv_has_a_line_for_each(tmp_path: Path) -> None:
    with open(written(CsvWriter, tmp_path), encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == CSV_COLUMNS
    first = ["in/a.jpg", "", "2", "égale", "0.750000", "10.500", "5.250", "30.000", "25.000"]
    assert lines[0] == [*first, "80", "60"]
    assert len(lines) == 2


def test_csv_quotes_names(tmp_path: Path) -> None:
    writer = CsvWriter(OutputNames(tmp_path, []), NAMES)
    found = detections()
    found.pred_classes[0] = 1
    writer.add(frame("a,b.jpg"), found)
    with open(writer.finish(), encoding="utf-8", newline="") as file:
        line = next(csv.DictReader(file))
    assert (line["file"], line["class_name"]) == ("a,b.jpg", 'dog, "big"')


def test_yolo_is_read_as_ground_truth(tmp_path: Path) -> None:
    folder = written(YoloWriter, tmp_path)
    assert (tmp_path / "classes.txt").read_text(encoding="utf-8").splitlines() == NAMES
    for name in ("a", "b"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat, dog, other]\n")
    assert folder == tmp_path / "labels"
    first, second = records_of(list(open_dataset(str(tmp_path), format_name="yolo").read()))
    assert [a.class_index for a in first.annotations] == CLASSES
    for annotation, box in zip(first.annotations, BOXES, strict=True):
        assert annotation.box == pytest.approx(box, abs=1e-5)
    assert second.annotations == ()


def test_yolo_numbers_the_frames_of_a_video(tmp_path: Path) -> None:
    written(YoloWriter, tmp_path, frames=[frame("clip.mp4", number) for number in (0, 12)])
    labels = sorted(path.name for path in (tmp_path / "labels").iterdir())
    assert labels == ["clip_000000.txt", "clip_000012.txt"]


@pytest.mark.parametrize("kind", ["coco", "csv"])
def test_nothing_is_there_before_the_end(kind: str, tmp_path: Path) -> None:
    writer = WRITERS[kind](OutputNames(tmp_path / "out", []), NAMES)
    writer.add(frame("a.jpg"), detections())
    writer.discard()
    assert not (tmp_path / "out").exists()


def test_frames_of_a_video_are_told_apart(tmp_path: Path) -> None:
    frames = [frame("clip.mp4", 0), frame("clip.mp4", 1)]
    content = json.loads(written(CocoWriter, tmp_path, frames=frames).read_text())
    names = [image["file_name"] for image in content["images"]]
    assert names == ["clip.mp4#000000", "clip.mp4#000001"]
    with open(written(CsvWriter, tmp_path, frames=frames), newline="") as file:
        assert [line["frame"] for line in csv.DictReader(file)] == ["0", "0", "1", "1"]


def test_sources_of_one_name_get_numbers() -> None:
    sources = [Source("image", path) for path in ("x/a.jpg", "y/a.png", "A.jpg")]
    names = OutputNames(Path("out"), sources)
    found = [names.path("labels", source, ".txt") for source in sources]
    assert [str(path) for path in found] == [
        "out/labels/a.txt",
        "out/labels/a_2.txt",
        "out/labels/A_3.txt",
    ]
    assert names.path("pictures", sources[1], ".png") == Path("out/pictures/a_2.png")


def test_inputs_keep_their_place() -> None:
    source = Source("image", "out/pictures/a.png")
    found = OutputNames(Path("out"), [source]).path("pictures", source, ".png")
    assert found == Path("out/pictures/a_2.png")
