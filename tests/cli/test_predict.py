"""Tests of vfnet_d2.cli.predict: the command as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, pairwise_iou
from PIL import Image

import vfnet_d2
from vfnet_d2.cli.main import main
from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.shapes.config import SHAPES_CLASSES, ShapesConfig
from vfnet_d2.shapes.dataset import render_image

CHECKPOINT = str(Path(vfnet_d2.__file__).parent / "assets" / "vfnet_shapes.pth")
MODEL = ["--weights", CHECKPOINT, "--config-file", "quick/vfnet_shapes", "--device", "cpu"]
IMAGES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of shapes."""
    path = tmp_path_factory.mktemp("shapes") / "photos"
    path.mkdir()
    for index in range(IMAGES):
        pixels, _ = render_image(ShapesConfig(num_images=IMAGES, seed=5), index)
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments), *MODEL])


@pytest.fixture(scope="module")
def output(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run writes in all formats."""
    path = tmp_path_factory.mktemp("run") / "out"
    options = ["--format", "coco,csv,yolo", "--batch-size", 2, "--score-threshold", 0.4]
    assert predict(folder, "--output", path, *options) == 0
    return path


def test_everything_is_written(output: Path) -> None:
    files = {str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()}
    expected = {f"pictures/{i}.png" for i in range(IMAGES)}
    expected |= {f"labels/{i}.txt" for i in range(IMAGES)}
    assert files == {*expected, "predictions.json", "predictions.csv", "classes.txt"}


def test_the_predictions_are_the_predictor_s(folder: Path, output: Path) -> None:
    content = json.loads((output / "predictions.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(SHAPES_CLASSES)
    predictor = Predictor(
        CHECKPOINT, config="quick/vfnet_shapes", device="cpu", score_threshold=0.4
    )
    assert content["annotations"]
    for image in content["images"]:
        found = predictor(image["file_name"])
        mine = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        assert [a["category_id"] - 1 for a in mine] == found.pred_classes.tolist()
        # Written with six and three decimals.
        assert np.allclose([a["score"] for a in mine], found.scores, atol=1e-6)
        boxes = np.array([a["bbox"] for a in mine]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert np.allclose(boxes, found.pred_boxes.tensor, atol=2e-3)


def test_shapes_are_where_they_were_drawn(folder: Path, output: Path) -> None:
    content = json.loads((output / "predictions.json").read_text())
    hits, objects = 0, 0
    for index, image in enumerate(content["images"]):
        _, truth = render_image(ShapesConfig(num_images=IMAGES, seed=5), index)
        mine = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        drawn, found = (torch.tensor([a["bbox"] for a in x]).float() for x in (truth, mine))
        for boxes in (drawn, found):
            boxes[:, 2:] += boxes[:, :2]
        iou = pairwise_iou(Boxes(drawn), Boxes(found))
        same = torch.tensor([[t["category_id"] == m["category_id"] for m in mine] for t in truth])
        hits += int(((iou > 0.5) & same).any(dim=1).sum())
        objects += len(truth)
    assert objects >= 5
    assert hits / objects > 0.6


def test_a_bad_image_is_skipped_and_the_status_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    status = predict(bad, folder / "0.png", "--output", tmp_path / "out", "--skip-pictures")
    told = capsys.readouterr()
    assert status == 1
    assert f"skipped: {bad} cannot be read as an image" in told.err
    assert told.out.startswith("Predicted 1 image: ") and "; skipped 1" in told.out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_a_picture_stored_sideways_is_predicted_upright(folder: Path, tmp_path: Path) -> None:
    upright = Image.open(folder / "0.png").crop((0, 0, 160, 120))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise, so it is stored turned the other way
    upright.rotate(90, expand=True).save(tmp_path / "sideways.png", exif=exif)
    names = [tmp_path / "upright.png", tmp_path / "sideways.png"]
    assert predict(*names, "--output", tmp_path / "out") == 0
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(image["width"], image["height"]) for image in content["images"]] == [(160, 120)] * 2
    boxes = [
        [a["bbox"] for a in content["annotations"] if a["image_id"] == number] for number in (1, 2)
    ]
    assert boxes[0] == boxes[1] != []
    with Image.open(tmp_path / "out" / "pictures" / "sideways.png") as picture:
        assert picture.size == (160, 120)


def test_all_options_together(folder: Path, tmp_path: Path) -> None:
    options = ["--tta", "--soft-nms", "gaussian", "--tile", 120, "--tile-overlap", 0.5]
    assert predict(folder / "0.png", "--output", tmp_path, *options, "--scale", 2) == 0
    with Image.open(tmp_path / "pictures" / "0.png") as picture:
        assert picture.size == (320, 320)
    assert json.loads((tmp_path / "predictions.json").read_text())["annotations"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", *MODEL], "input none.jpg does not exist"),
        (["IMAGE", "--weights", "none.pth"], "checkpoint none.pth does not exist"),
        (["IMAGE", "--weights", "SILENT"], "does not say which config it belongs to"),
        (["IMAGE", *MODEL, "--config-file", "quick/none"], "no config 'quick/none'"),
    ],
)
def test_nothing_is_done_when_something_is_missing(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = torch.load(CHECKPOINT, weights_only=True)["model"]
    torch.save({"model": weights}, tmp_path / "silent.pth")  # it says nothing of itself
    files = {"IMAGE": folder / "0.png", "SILENT": tmp_path / "silent.pth"}
    arguments = [str(files.get(text, text)) for text in arguments]
    status = main(["predict", *arguments, "--output", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert status == 2
    assert told.err.splitlines()[-1].startswith("vfnet: error: ") and message in told.err
    assert told.out == "" and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--format", "coco,xml"], "'xml' is unknown; choose of coco, csv, yolo"),
        (["--score-threshold", "1.5"], "1.5 is not between 0 and 1"),
        (["--batch-size", "0"], "0 is below 1"),
        (["--tile-overlap", "1"], "do not cover an image"),
        (["--scale", "0"], "0 is not above 0"),
        (["--soft-nms", "cubic"], "invalid choice: 'cubic'"),
    ],
)
def test_bad_options(option: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        predict("a.jpg", *option)
    assert leave.value.code == 2
    assert message in capsys.readouterr().err


def test_the_shipped_checkpoint_says_its_config(folder: Path, tmp_path: Path) -> None:
    arguments = [str(folder / "0.png"), "--weights", CHECKPOINT, "--skip-pictures"]
    assert main(["predict", *arguments, "--output", str(tmp_path)]) == 0
    categories = json.loads((tmp_path / "predictions.json").read_text())["categories"]
    assert [c["name"] for c in categories] == ["circle", "square", "triangle", "star", "cross"]


def test_options_without_effect_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--skip-pictures", "--scale", 2, "--max-frames", 3, "--tile-overlap", 0.1]
    assert predict(folder / "0.png", "--output", tmp_path / "out", *options) == 0
    said = capsys.readouterr().err
    assert "--scale has no effect with --skip-pictures" in said
    assert "--max-frames has no effect: no input is a video" in said
    assert "--tile-overlap has no effect without --tile" in said
    assert predict(folder / "0.png", "--output", tmp_path / "out", "--skip-pictures") == 0
    assert "no effect" not in capsys.readouterr().err
