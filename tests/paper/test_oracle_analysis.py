"""Tests of vfnet_d2.paper.oracle_analysis."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.data import build_detection_test_loader as build_loader
from detectron2.data import transforms as T
from detectron2.evaluation import inference_on_dataset
from PIL import Image
from torch import nn

from tests.helpers.assignments import gt_idxs
from tests.helpers.coco_data import registered_coco, write_coco
from tests.helpers.quick_model import LAZY, YAML, quick_model, save_weights
from tests.helpers.scripted_analysis import SIZE, analysed, figures, mapper
from tests.helpers.scripted_detector import scripted_detector, silent_outputs
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.inference.predictor import Predictor, load_predictor
from vfnet_d2.modeling.dense.box_coders import LinearDistances
from vfnet_d2.modeling.dense.matchers.atss import ATSSMatcher
from vfnet_d2.modeling.dense.structures import HeadOutputs
from vfnet_d2.paper.oracle_analysis import analyse, analyse_config, keep_ground_truth


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images: objects, none, objects and a crowd, an object."""
    path = tmp_path_factory.mktemp("coco")
    crowd = {"bbox": [0, 0, 60, 60], "iscrowd": 1, "segmentation": {"counts": [0], "size": [1, 1]}}
    return write_coco(
        path,
        [
            [{"bbox": [10, 10, 70, 60]}, {"bbox": [80, 70, 70, 80], "category_id": 3}],
            [],
            [crowd, {"bbox": [70, 20, 80, 90], "category_id": 5}],
            [{"bbox": [40, 40, 64, 64], "category_id": 2}],
        ],
        size=(SIZE, SIZE),
    ).parent


@pytest.fixture
def dataset(folder: Path) -> Iterator[str]:
    """Name of the dataset."""
    with registered_coco(folder) as name:
        yield name


# -- ground truth at test time ------------------------------------------------------------------


def test_boxes_move_with_the_image_and_crowds_go(dataset: str) -> None:
    item = DatasetCatalog.get(dataset)[2]
    plain = DatasetMapper(
        is_train=False,
        augmentations=[T.Resize((320, 80)), T.HFlipTransform(80)],
        image_format="RGB",
    )
    given = keep_ground_truth(plain)(item)
    # x: 70 ... 150 halved and mirrored in 80; y: 20 ... 110 doubled.
    assert given["instances"].gt_boxes.tensor.tolist() == [[5.0, 40.0, 45.0, 220.0]]
    assert given["instances"].gt_classes.tolist() == [4]
    assert torch.equal(given["image"], plain(item)["image"])
    assert "instances" not in plain(item)


def test_another_kind_of_mapper_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is of class dict.*needs a Detectron2 DatasetMapper"):
        keep_ground_truth({})


# -- APs ----------------------------------------------------------------------------------------


def test_as_predicted_is_the_plain_evaluation(
    dataset: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    weights = save_weights(quick_model(), tmp_path / "model.pth")
    options = ["MODEL.WEIGHTS", str(weights), "DATASETS.TEST", f"('{dataset}',)"]
    report = analyse_config(YAML, options, tmp_path / "out", num_gpus=0)
    assert capsys.readouterr().out == ""
    predictor = load_predictor(YAML, options)
    loader = build_loader(dataset=DatasetCatalog.get(dataset), mapper=predictor.mapper)
    wanted = inference_on_dataset(predictor.model, loader, build_coco_evaluator(dataset))["bbox"]
    assert wanted["AP"] > 0
    (found,) = [entry for entry in report["oracles"] if entry["name"] == "predicted"]
    assert {key: found[key] for key in ("AP", "AP50", "AP75")} == {
        key: wanted[key] for key in ("AP", "AP50", "AP75")
    }
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_both_config_systems_give_one_report(dataset: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = save_weights(quick_model(), tmp_path / "model.pth")
    yaml = ["MODEL.WEIGHTS", str(weights), "DATASETS.TEST", f"('{dataset}',)"]
    lazy = [f"train.init_checkpoint={weights}", f"dataloader.test.dataset.names={dataset}"]
    reports = [
        analyse_config(config, options, tmp_path / "out", num_gpus=0)
        for config, options in ((YAML, yaml), (LAZY, lazy))
    ]
    assert reports[0] == reports[1]
    for name in ("oracles.png", "reliability.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.format == "PNG"


def perfect_outputs(item: dict[str, Any]) -> HeadOutputs:
    """What a head must say of an image, crowds aside, so that nothing is missed or wrong."""
    outputs = silent_outputs(SIZE, SIZE, quality=True)
    given = keep_ground_truth(mapper())(item)["instances"]
    model = scripted_detector([], ATSSMatcher(), coder=LinearDistances())
    anchors = model.anchor_generator([torch.zeros(1, 1, SIZE // 32, SIZE // 32)])
    found = ATSSMatcher()(anchors, [given])
    (owners,), (labels,) = gt_idxs(found), found.labels
    assert outputs.quality is not None
    for anchor in torch.nonzero(labels == 1)[:, 0].tolist():
        row, column = divmod(anchor, SIZE // 32)
        gt = int(owners[anchor])
        encoded = LinearDistances().get_deltas(
            anchors[0].tensor[anchor : anchor + 1], given.gt_boxes.tensor[gt : gt + 1]
        )
        outputs.logits[0][0, given.gt_classes[gt], row, column] = 20.0
        outputs.boxes[-1].maps()[0][0, :, row, column] = encoded[0]
        outputs.quality[0][0, 0, row, column] = 20.0
    return outputs


def test_a_perfect_detector_is_perfect_in_every_column(dataset: str, tmp_path: Path) -> None:
    outputs = [perfect_outputs(item) for item in DatasetCatalog.get(dataset)]
    report = analysed(scripted_detector(outputs, ATSSMatcher()), dataset, tmp_path)
    assert len(report["oracles"]) == 10
    assert figures(report) == pytest.approx(dict.fromkeys(figures(report), 100.0))
    assert report["ranking"]["ap_lost"] == pytest.approx(0)
    # Scores and IoUs are both as good as 1 everywhere.
    assert report["ranking"]["foreground_points"]["expected_calibration_error"] < 1e-6


# -- mistakes -----------------------------------------------------------------------------------


def test_a_dataset_without_annotations_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, [[], []], size=(SIZE, SIZE))
    model = scripted_detector([], ATSSMatcher())
    with registered_coco(tmp_path) as name, pytest.raises(ValueError, match="has no annotations"):
        analysed(model, name, tmp_path)


def test_another_number_of_classes_is_refused(dataset: str, tmp_path: Path) -> None:
    model = scripted_detector([], ATSSMatcher())
    model.num_classes = 3
    with pytest.raises(ValueError, match=r"number of classes is 3, but dataset .* has 5"):
        analysed(model, dataset, tmp_path)


def test_another_kind_of_model_is_refused(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of class Identity; the oracle analysis runs"):
        analysed(nn.Identity(), dataset, tmp_path)


def test_a_config_without_a_test_set_is_refused(tmp_path: Path) -> None:
    predictor = Predictor.of_model(scripted_detector([], ATSSMatcher()), mapper(), test_datasets=[])
    with pytest.raises(ValueError, match=r"no test set: set DATASETS.TEST"):
        analyse(predictor, output=tmp_path)
