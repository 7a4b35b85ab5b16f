"""The oracle analysis of a detector whose anchors may answer for several objects, and twice."""

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import Tensor

from tests.helpers.coco_data import registered_coco, write_coco
from tests.helpers.scripted_analysis import SIZE, figures
from tests.helpers.scripted_analysis import analysed as analysed_report
from tests.helpers.shrink import shrunk_config
from tests.helpers.small_model import random_input
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import HeadOutputs, flatten
from vfnet_d2.paper.oracle import Foreground, replace_boxes, replace_scores
from vfnet_d2.paper.oracle_batch import analyse_batch, find_foreground


@pytest.fixture(scope="module")
def model() -> OneStageDetector:
    """A small YOLOF; leave it as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # Random weights are for values about 1; others saturate.
        options = ("MODEL.PIXEL_STD", [60.0] * 3, "MODEL.ONE_STAGE.SCORE_THRESH", 0.0)
        return build_model(shrunk_config("yolof/yolof_R_50_C5_1x", *options)).eval()


@pytest.fixture(scope="module")
def batch() -> list[dict[str, Any]]:
    """Three images, one without objects, and one where two lie in the same place."""
    twins = Instances((96, 128))
    twins.gt_boxes = Boxes(torch.tensor([[30.0, 28.0, 98.0, 90.0], [31.0, 27.0, 98.0, 91.0]]))
    twins.gt_classes = torch.tensor([1, 3])
    same_place = {"image": random_input(96, 128, 0, seed=2)["image"], "instances": twins}
    return [random_input(128, 160, 3, seed=1), random_input(96, 128, 0, seed=3), same_place]


def analysed(
    model: OneStageDetector, batch: list[dict[str, Any]]
) -> tuple[HeadOutputs, Foreground, Tensor]:
    """Outputs, foreground and (N, R) labels of the anchors."""
    targets = [item["instances"] for item in batch]
    with torch.no_grad():
        outputs = model.network(model.preprocess_image(batch).tensor)
    anchors = model.anchor_generator(outputs.logits)
    (assignment,) = model.assign(anchors, targets, outputs.boxes)
    return outputs, find_foreground(model, outputs, targets), assignment.labels


def test_each_positive_anchor_is_one_point(
    model: OneStageDetector, batch: list[dict[str, Any]]
) -> None:
    _, foreground, labels = analysed(model, batch)
    points = torch.stack([foreground.matches.image, foreground.matches.anchor], dim=1)
    assert sorted(points.tolist()) == (labels == 1).nonzero().tolist()
    assert len(analyse_batch(model, batch).scores) == len(points) > 0
    assert foreground.deltas.shape == (len(points), 4)


def test_one_class_of_a_point_is_certain(
    model: OneStageDetector, batch: list[dict[str, Any]]
) -> None:
    outputs, foreground, labels = analysed(model, batch)
    replaced = replace_scores(outputs, foreground)
    certain = flatten(replaced.logits, model.num_classes).isinf().sum(dim=2)
    assert torch.equal(certain, (labels == 1).long())


def test_true_boxes_are_where_the_clamped_shift_reaches(
    model: OneStageDetector, batch: list[dict[str, Any]]
) -> None:
    outputs, foreground, _ = analysed(model, batch)
    deltas = flatten(replace_boxes(outputs, foreground).boxes[0].maps(), 4)
    matches = foreground.matches
    decoded = model.box_coder.apply_deltas(
        deltas[matches.image, matches.anchor], matches.anchor_boxes
    )
    gaps = (Boxes(matches.anchor_boxes).get_centers() - Boxes(matches.gt_boxes).get_centers()).abs()
    near = (gaps <= 32).all(dim=1)
    assert near.any()
    torch.testing.assert_close(decoded[near], matches.gt_boxes[near], rtol=0, atol=1e-4)


def test_as_predicted_is_the_model_s_own_output(
    model: OneStageDetector, batch: list[dict[str, Any]]
) -> None:
    found = analyse_batch(model, batch).detections["predicted"]
    with torch.no_grad():
        wanted = [result["instances"] for result in model(batch)]
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.pred_boxes.tensor, other.pred_boxes.tensor)
        assert torch.equal(one.scores, other.scores)


def test_the_whole_report(model: OneStageDetector, tmp_path: Path) -> None:
    objects = [
        [{"bbox": [10, 10, 70, 60]}, {"bbox": [80, 70, 70, 80], "category_id": 3}],
        [{"bbox": [40, 40, 64, 64], "category_id": 2}],
    ]
    folder = write_coco(tmp_path / "coco", objects, size=(SIZE, SIZE)).parent
    with registered_coco(folder) as name:
        report = analysed_report(model, name, tmp_path)
    aps = figures(report)
    assert list(aps) == ["predicted", "true_boxes", "score_one", "score_iou"]
    assert aps["predicted"] < aps["score_iou"] and aps["predicted"] < aps["score_one"]
    # Three objects, each with up to eight pairs.
    assert 3 <= report["ranking"]["foreground_points"]["count"] <= 24
