"""Tests of vfnet_d2.paper.oracle_analysis: every AP of a case that can be worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image

from tests.helpers.coco_data import registered_coco, write_coco
from tests.helpers.scripted_analysis import SIZE, analysed, figures
from tests.helpers.scripted_detector import FixedMatcher, scripted_detector, silent_outputs
from vfnet_d2.modeling.dense.structures import HeadOutputs


def two_points(quality: tuple[float, float] | None) -> HeadOutputs:
    """A 160 x 160 image whose cells 6, at (32, 32), and 12, at (64, 64), see the same object.

    The object is (10, 10, 110, 110). Cell 6 scores 0.9 with a box of 57.5 of its 100 columns (IoU
    0.575), cell 12 scores 0.6 with the object's own box.
    """
    outputs = silent_outputs(SIZE, SIZE, quality=quality is not None)
    boxes = torch.tensor([[10.0, 10.0, 67.5, 110.0], [10.0, 10.0, 110.0, 110.0]])
    centres = torch.tensor([[32.0, 32, 32, 32], [64.0, 64, 64, 64]])
    deltas = (boxes - centres) * torch.tensor([-1, -1, 1, 1]) / 64
    for point, (cell, score) in enumerate([(1, 0.9), (2, 0.6)]):
        outputs.logits[0][0, 0, cell, cell] = torch.tensor(score).logit()
        outputs.boxes[-1].maps()[0][0, :, cell, cell] = deltas[point]
        if quality is not None and outputs.quality is not None:
            outputs.quality[0][0, 0, cell, cell] = torch.tensor(quality[point]).logit()
    return outputs


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image with the object of :func:`two_points`."""
    path = tmp_path_factory.mktemp("single")
    return write_coco(path, [[{"bbox": [10, 10, 100, 100]}]], size=(SIZE, SIZE)).parent


def two_point_report(folder: Path, quality: tuple[float, float] | None) -> dict[str, Any]:
    model = scripted_detector([two_points(quality)], FixedMatcher({6: 0, 12: 0}))
    with registered_coco(folder) as name:
        return analysed(model, name, folder)


# The worse box first: right up to the threshold 0.55, where the other one is a duplicate behind
# it; from 0.6 on one false detection before the right one, precision 1/2. (2 * 100 + 8 * 50) / 10.
WORSE_FIRST, BETTER_FIRST = 60.0, 100.0


def test_two_points_by_hand(single: Path) -> None:
    report = two_point_report(single, None)
    found = figures(report)
    assert found.pop("score_one") in (pytest.approx(WORSE_FIRST), pytest.approx(BETTER_FIRST))
    assert found == pytest.approx(
        {"predicted": WORSE_FIRST, "true_boxes": BETTER_FIRST, "score_iou": BETTER_FIRST}
    )
    assert report["ranking"]["ap_lost"] == pytest.approx(40)


def test_two_points_with_centerness_by_hand(single: Path) -> None:
    found = figures(two_point_report(single, (0.99, 0.5)))
    del found["score_one"]  # two equal scores
    assert found == pytest.approx(
        {
            "predicted": WORSE_FIRST,
            "predicted_centerness": WORSE_FIRST,  # 0.9 * 0.99 before 0.6 * 0.5
            # sqrt(22 / 78 * 22 / 78) = 0.28 and sqrt(46 / 54 * 46 / 54) = 0.85
            "true_centerness": BETTER_FIRST,  # 0.9 * 0.28 behind 0.6 * 0.85
            "iou_centerness": BETTER_FIRST,  # 0.9 * 0.575 = 0.52 behind 0.6
            "true_boxes": BETTER_FIRST,
            "true_boxes_centerness": BETTER_FIRST,
            "score_one_centerness": WORSE_FIRST,  # 0.99 before 0.5
            "score_iou": BETTER_FIRST,
            "score_iou_centerness": WORSE_FIRST,  # 0.575 * 0.99 = 0.57 before 0.5
        }
    )


def test_ap_lost_is_counted_from_the_model_as_it_is_used(single: Path) -> None:
    # With centerness the better box is first already.
    report = two_point_report(single, (0.3, 0.99))
    assert report["as_used"] == "predicted_centerness"
    assert report["ranking"]["ap_lost"] == pytest.approx(0)


def test_ranking_of_two_points_by_hand(single: Path) -> None:
    report = two_point_report(single, None)
    points = report["ranking"]["foreground_points"]
    assert (points["count"], points["spearman"], points["kendall"]) == pytest.approx((2, -1, -1))
    # (|0.9 - 0.575| + |0.6 - 1|) / 2
    assert points["expected_calibration_error"] == pytest.approx(0.3625)
    assert report["ranking"]["detections"]["count"] == 2


def test_a_dataset_without_a_coco_file_can_be_analysed(tmp_path: Path) -> None:
    picture = tmp_path / "image.png"
    Image.new("RGB", (SIZE, SIZE)).save(picture)
    box = {"bbox": [10, 10, 110, 110], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    entry = {
        **{"file_name": str(picture), "image_id": 1, "height": SIZE, "width": SIZE},
        "annotations": [box],
    }
    name = "dicts_of_a_test"
    DatasetCatalog.register(name, lambda: [entry])
    MetadataCatalog.get(name).set(thing_classes=list("abcde"))
    try:
        model = scripted_detector([two_points(None)], FixedMatcher({6: 0, 12: 0}))
        report = analysed(model, name, tmp_path)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert figures(report)["predicted"] == pytest.approx(WORSE_FIRST)
