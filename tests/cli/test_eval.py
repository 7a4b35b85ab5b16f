"""Tests of vfnet_d2.cli.eval."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import vfnet_d2
from tests.helpers.quick_model import YAML, quick_model, save_weights
from tests.helpers.report_data import ground_truth, results
from tests.helpers.small_datasets import read
from vfnet_d2.cli.main import main
from vfnet_d2.data.formats.opening import FORMATS, open_dataset
from vfnet_d2.data.formats.write import write_dataset
from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.shapes.dataset import SHAPES_CLASSES, ShapesConfig, make_shapes

CHECKPOINT = Path(vfnet_d2.__file__).parent / "assets" / "vfnet_shapes.pth"
MODEL = str(CHECKPOINT)
BOX, FAR = (10, 10, 20, 20), (60, 60, 20, 20)
OBJECTS = [(1, 0, BOX, 0), (1, 1, FAR, 0)]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with truth.json and an image."""
    Image.new("RGB", (100, 100)).save(tmp_path / "1.png")
    truth = ground_truth(OBJECTS, names=("cat", "dog"))
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_detections(folder: Path, *items: tuple) -> None:
    (folder / "found.json").write_text(json.dumps(results(items)))


def test_detections(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_detections(files, (1, 0, BOX, 0.9), (1, 1, FAR, 0.8))
    assert main(["eval", "truth.json", "--detections", "found.json", "--root", "."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("found on truth: AP 100.0  AP50 100.0")
    assert lines[1].startswith("With a score threshold of 0.80, F1 is highest: 100 %")
    assert lines[-1] == "Wrote output/eval/report.html and output/eval/report.json"
    assert (files / "output/eval/report.html").is_file()


def test_what_looks_wrong_is_printed_and_told_by_the_status(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_detections(files, (1, 1, BOX, 0.9), (1, 0, FAR, 0.8))
    assert main(["eval", "truth.json", "--detections", "found.json"]) == 1
    out = capsys.readouterr().out
    assert "LOOK: the classes of the detections are in another order" in out
    assert "  what to do: use the class list of the training set" in out


def test_a_class_without_objects_is_told_but_no_problem(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "truth.json").write_text(json.dumps(ground_truth(OBJECTS)))
    write_detections(files, (1, 0, BOX, 0.9), (1, 1, FAR, 0.8))
    assert main(["eval", "truth.json", "--detections", "found.json"]) == 0
    assert "LOOK: 2 of 4 classes have no object" in capsys.readouterr().out


def test_options(files: Path) -> None:
    write_detections(files, (1, 0, BOX, 0.9), (1, 1, FAR, 0.4))
    options = ["--score-threshold", "0.5", "--evaluator", "pycocotools", "--gallery", "0"]
    main(["eval", "truth.json", "--detections", "found.json", "--output", "out", *options])
    report = json.loads((files / "out/report.json").read_text())
    assert report["score_threshold"] == {"value": 0.5, "origin": "given"}
    assert (report["evaluator"], report["misses"]) == ("pycocotools", [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["truth.json", "--detections", "gone.json"], "gone.json"),
        (["--detections", "found.json"], "--detections needs PATH"),
        (
            ["truth.json", "--detections", "found.json", "--tta", "--tile", "64"],
            "--tta, --tile say how a model looks at images, but with --detections there is none",
        ),
        (["truth.csv", "--detections", "found.json"], "as COCO JSON, whose ids it refers to"),
        (["truth.json", "--detections", "bad.json"], "bad.json is not JSON"),
        (["truth.json", "--weights", "gone.pth"], "gone.pth does not exist"),
        (["truth.json", "--weights", MODEL, "--config-file", "quick/none"], "no config 'quick/no"),
    ],
)
def test_errors(
    files: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_detections(files)
    (files / "bad.json").write_text("[")
    assert main(["eval", *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("vfnet: error: ")
    assert message in error
    assert not (files / "output").exists()


def test_model_and_detections_exclude_each_other() -> None:
    with pytest.raises(SystemExit):
        main(["eval", "x", "--weights", "a", "--detections", "b"])


def test_a_model_on_a_yolo_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its classes come in another order than the model's, and are matched by name."""
    weights = save_weights(quick_model(), tmp_path / "model.pth")
    (tmp_path / "drawings/images/val").mkdir(parents=True)
    (tmp_path / "drawings/labels/val").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(tmp_path / "drawings/images/val/a.png")
    (tmp_path / "drawings/labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    names = ["cross", "star", "triangle", "square", "circle"]
    (tmp_path / "drawings/data.yaml").write_text(f"val: images/val\nnames: {names}\n")
    options = ["--weights", str(weights), "--config", YAML, "--device", "cpu"]
    main(["eval", str(tmp_path / "drawings"), *options, "--output", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert {entry["name"]: entry["objects"] for entry in report["classes"]} == {
        "circle": 0,
        "square": 0,
        "triangle": 0,
        "star": 0,
        "cross": 1,
    }
    assert capsys.readouterr().out.startswith("VFNet on drawings: AP ")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert f"Weights: {weights}." in page


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes dataset in every format; without crowds, which YOLO files do not have."""
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder / "source", ShapesConfig(num_images=16, seed=3, crowd_fraction=0))
    reader = open_dataset(folder / "source")
    records, _ = read(reader)
    for name in FORMATS:
        write_dataset(folder / name, name, records, reader.classes)
    return folder


def evaluate(
    folder: Path, output: Path, *options: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Report and detections of the shipped checkpoint."""
    arguments = ["--weights", MODEL, "--device", "cpu", "--gallery", "0", *options]
    assert main(["eval", str(folder), *arguments, "--output", str(output)]) == 0
    report, found = ((output / name).read_text() for name in ("report.json", "detections.json"))
    return json.loads(report), json.loads(found)


@pytest.fixture(scope="module")
def expected(shapes: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Report and detections on the dataset as it was drawn."""
    return evaluate(shapes / "source", shapes / "expected")


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_has_the_same_ap_in_every_format(
    shapes: Path,
    expected: tuple[dict[str, Any], list[dict[str, Any]]],
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    report, found = evaluate(shapes / name, tmp_path / "out")
    expected_report, expected_found = expected
    assert report["metrics"]["AP"] > 40
    assert report["metrics"] == expected_report["metrics"]
    assert report["classes"] == expected_report["classes"]
    assert [x["name"] for x in report["classes"]] == list(SHAPES_CLASSES)
    # The ids of images are the format's own; their order is that of the names.
    assert [(x["score"], x["bbox"]) for x in found] == [
        (x["score"], x["bbox"]) for x in expected_found
    ]


def test_a_tile_of_the_whole_image_changes_nothing(
    shapes: Path, expected: tuple[dict[str, Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    report, found = evaluate(shapes / "source", tmp_path, "--tile", "160")
    assert found == expected[1]
    assert report["metrics"] == expected[0]["metrics"]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--tile", "100", "--tile-overlap", "0.5"], {"tile": 100, "tile_overlap": 0.5}),
        (["--tta", "--soft-nms", "gaussian"], {"tta": True, "soft_nms": "gaussian"}),
        (["--amp", "bf16"], {"amp": "bf16"}),
    ],
)
def test_options_of_the_inference_are_the_predictor_s(
    shapes: Path, tmp_path: Path, options: list[str], arguments: dict[str, Any]
) -> None:
    truth = json.loads((shapes / "coco" / "annotations.json").read_text())
    truth["images"] = [image] = truth["images"][:1]
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
    (tmp_path / "one.json").write_text(json.dumps(truth))
    images = shapes / "coco" / "images"
    model = ["--weights", MODEL, "--device", "cpu", "--root", str(images)]
    main(["eval", str(tmp_path / "one.json"), *model, *options, "--output", str(tmp_path)])
    found = json.loads((tmp_path / "detections.json").read_text())
    expected = Predictor(CHECKPOINT, device="cpu", **arguments)(images / image["file_name"])
    assert [entry["score"] for entry in found] == expected.scores.tolist() != []


def test_no_class_in_common(
    tmp_path: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_weights(quick_model(), tmp_path / "model.pth")
    options = ["--weights", str(weights), "--config", YAML, "--device", "cpu"]
    assert main(["eval", "truth.json", *options]) == 2
    assert "no class in common: the model has circle, square" in capsys.readouterr().err
