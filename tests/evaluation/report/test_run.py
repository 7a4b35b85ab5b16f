"""Tests of vfnet_d2.evaluation.report.run."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import build_detection_test_loader as build_loader
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import BoxMode

from tests.helpers.coco_data import CLASSES, registered_coco, write_coco
from tests.helpers.quick_model import quick_config, quick_model
from vfnet_d2.data.loading import load_dataset
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.evaluation.report.data import ReportInputError
from vfnet_d2.evaluation.report.run import (
    ReportOptions,
    category_ids,
    evaluate_files,
    evaluate_model,
    hidden_scores,
)
from vfnet_d2.inference.predictor import Predictor

IMAGES = 3


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A model with random weights that finds something."""
    mapper = DatasetMapper(quick_config(), is_train=False)
    return Predictor.of_model(quick_model(), mapper, class_names=CLASSES)


@pytest.fixture(scope="module")
def folder(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose objects are some of what the model finds, so that AP is not 0."""
    folder = tmp_path_factory.mktemp("evaluate")
    path = write_coco(folder / "coco", [[]] * IMAGES)
    content = json.loads(path.read_text())
    for image in content["images"]:
        found = predictor({"file_name": str(path.parent / "images" / image["file_name"])})
        boxes = BoxMode.convert(found.pred_boxes.tensor, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
        for number in range(0, len(found), 5):
            box = [round(value, 1) for value in boxes[number].tolist()]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image["id"],
                    "category_id": int(found.pred_classes[number]) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    path.write_text(json.dumps(content))
    return path.parent


@pytest.fixture
def dataset(folder: Path) -> Iterator[str]:
    """Its name."""
    with registered_coco(folder) as name:
        yield name


def test_the_same_figures_as_detectron2(predictor: Predictor, dataset: str, tmp_path: Path) -> None:
    report = evaluate_model(predictor, dataset, tmp_path)
    items = load_dataset(dataset, filter_empty=False)
    loader = build_loader(dataset=items, mapper=predictor.mapper)
    expected = inference_on_dataset(predictor.model, loader, build_coco_evaluator(dataset))["bbox"]
    assert expected["AP"] > 1
    assert {k: report["metrics"][k] for k in ("AP", "AP50", "AP75")} == pytest.approx(
        {k: expected[k] for k in ("AP", "AP50", "AP75")}
    )
    classes = {
        f"AP-{x['name']}": math.nan if x["AP"] is None else x["AP"] for x in report["classes"]
    }
    assert classes == pytest.approx({key: expected[key] for key in classes}, nan_ok=True)


def test_files_of_a_model(predictor: Predictor, dataset: str, tmp_path: Path) -> None:
    report = evaluate_model(predictor, dataset, tmp_path / "new", title="drawings")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"detections.json", "report.json", "report.html"}
    assert (report["model"], report["dataset"]) == ("VFNet", "drawings")
    assert report["false_positives"][0]["picture"].startswith("data:image/jpeg")


def test_its_detections_give_the_same_report(
    predictor: Predictor, dataset: str, folder: Path, tmp_path: Path
) -> None:
    first = evaluate_model(predictor, dataset, tmp_path / "model")
    again = evaluate_files(
        folder / "annotations.json",
        tmp_path / "model" / "detections.json",
        tmp_path / "files",
        image_root=folder / "images",
    )
    assert again == {**first, "model": "detections", "dataset": "annotations"}


def test_a_dataset_without_json(
    predictor: Predictor, dataset: str, folder: Path, tmp_path: Path
) -> None:
    items = DatasetCatalog.get(dataset)
    DatasetCatalog.register("evaluate_plain", lambda: items)
    MetadataCatalog.get("evaluate_plain").set(thing_classes=list(CLASSES))
    try:
        report = evaluate_model(predictor, "evaluate_plain", tmp_path)
    finally:
        DatasetCatalog.remove("evaluate_plain")
        MetadataCatalog.remove("evaluate_plain")
    assert report["metrics"]["AP"] == pytest.approx(
        evaluate_model(predictor, dataset, tmp_path)["metrics"]["AP"], abs=0.5
    )


def test_scores_under_the_models_threshold_are_told(
    predictor: Predictor, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor.model, "score_thresh", 0.9999)
    report = evaluate_model(predictor, dataset, tmp_path)
    assert report["metrics"]["AP"] == 0
    cause = report["diagnoses"][0]["cause"]
    assert "all scores are under the detector's threshold of 0.9999; the highest" in cause
    assert predictor.model.score_thresh == 0.9999


def test_the_highest_hidden_score(predictor: Predictor, dataset: str) -> None:
    items = load_dataset(dataset, filter_empty=False)
    expected = max(float(predictor(item).scores.max()) for item in items)
    assert hidden_scores(predictor, items) == (0.05, pytest.approx(expected))


def test_hidden_scores_leave_the_model_as_it_is(predictor: Predictor, dataset: str) -> None:
    # Another thread may predict with the same model meanwhile.
    seen: list[float] = []
    hook = predictor.model.backbone.register_forward_pre_hook(
        lambda module, arguments: seen.append(predictor.model.score_thresh)
    )
    try:
        hidden_scores(predictor, load_dataset(dataset, filter_empty=False)[:1])
    finally:
        hook.remove()
    assert seen == [0.05]


def test_another_number_of_classes_is_refused(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    content["categories"].append({"id": 6, "name": "moon"})
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(folder / "images")
    with (
        registered_coco(tmp_path, name="evaluate_six") as name,
        pytest.raises(ReportInputError, match=r"number of classes is 5, but .* has 6 classes"),
    ):
        evaluate_model(predictor, name, tmp_path)


def test_category_ids_in_the_order_of_the_classes() -> None:
    name = "evaluate_ids"
    try:
        truth = {"categories": [{"id": 90}, {"id": 7}]}
        assert category_ids(name, truth) == [7, 90]
        MetadataCatalog.get(name).set(thing_dataset_id_to_contiguous_id={7: 1, 90: 0})
        assert category_ids(name, truth) == [90, 7]
    finally:
        MetadataCatalog.remove(name)


def test_files_that_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ReportInputError, match=r"a\.json is not JSON"):
        evaluate_files(tmp_path / "a.json", tmp_path / "a.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_reach_the_report(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    options = ReportOptions(score_thresh=0.25, evaluator="pycocotools", gallery=2)
    report = evaluate_files(
        folder / "annotations.json", tmp_path / "none.json", tmp_path / "out", options=options
    )
    assert report["score_threshold"] == {"value": 0.25, "origin": "given"}
    assert report["evaluator"] == "pycocotools"
    assert len(report["misses"]) == 2
    # Found in the usual folder of a COCO dataset.
    assert "picture" in report["misses"][0]
