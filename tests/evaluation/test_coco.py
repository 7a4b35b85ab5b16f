"""Tests of vfnet_d2.evaluation.coco."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import detectron2
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from tests.helpers.coco_data import registered_coco, write_coco
from tests.helpers.log_lines import log_lines
from vfnet_d2.evaluation.coco import build_coco_evaluator, fill_in
from vfnet_d2.utils.errors import UserError

# Six objects of one class in three images, 100 pixels wide.
OBJECTS = [
    [{"bbox": [10, 10, 100, 60]}, {"bbox": [200, 10, 100, 90]}],
    [{"bbox": [30, 40, 100, 100]}],
    [{"bbox": [10, 10, 100, 20]}, {"bbox": [10, 110, 100, 20]}, {"bbox": [10, 210, 100, 20]}],
]


@pytest.fixture
def no_compiled_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``from detectron2 import _C`` fail, as it does where nothing was compiled."""
    monkeypatch.delattr(detectron2, "_C", raising=False)
    monkeypatch.setitem(sys.modules, "detectron2._C", None)


def evaluate(
    folder: Path, *, shift: float = 0.0, kept: int = 6, output_dir: str | None = None
) -> dict[str, float]:
    """Box APs of the first ``kept`` objects, each moved to the right by ``shift`` pixels."""
    write_coco(folder, OBJECTS, size=(400, 300))
    with registered_coco(folder) as name:
        dicts = DatasetCatalog.get(name)
        evaluator = build_coco_evaluator(name, output_dir=output_dir)
        evaluator.reset()
        left = kept
        for item in dicts:
            taken = item["annotations"][:left]
            left -= len(taken)
            evaluator.process([item], [{"instances": as_detections(taken, item, shift)}])
        return evaluator.evaluate()["bbox"]


def as_detections(
    annotations: list[dict[str, Any]], item: dict[str, Any], shift: float
) -> Instances:
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    found = Instances((item["height"], item["width"]))
    found.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    found.pred_boxes.tensor[:, 0::2] += shift
    found.scores = torch.linspace(0.9, 0.8, len(boxes))
    found.pred_classes = torch.tensor([a["category_id"] for a in annotations])
    return found


@pytest.mark.usefixtures("no_compiled_ops")
def test_perfect_detections_reach_100(tmp_path: Path) -> None:
    result = evaluate(tmp_path)
    assert (result["AP"], result["AP50"], result["AP75"]) == pytest.approx((100, 100, 100))


@pytest.mark.usefixtures("no_compiled_ops")
def test_half_of_the_objects(tmp_path: Path) -> None:
    # Precision 1 up to recall 1/2: 51 of the 101 recall points 0, 0.01, ... 1.
    assert evaluate(tmp_path, kept=3)["AP"] == pytest.approx(100 * 51 / 101)


@pytest.mark.usefixtures("no_compiled_ops")
def test_boxes_that_are_off(tmp_path: Path) -> None:
    # IoU (100 - 23) / (100 + 23) = 0.626: right at 0.5, 0.55 and 0.6, wrong at 0.65 ... 0.95.
    result = evaluate(tmp_path, shift=23.0)
    assert (result["AP"], result["AP50"], result["AP75"]) == pytest.approx((30, 100, 0))


@pytest.mark.usefixtures("no_compiled_ops")
def test_detections_are_written_as_coco_json(tmp_path: Path) -> None:
    evaluate(tmp_path / "data", output_dir=str(tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    boxes = sorted((entry["image_id"], entry["bbox"]) for entry in found)
    expected = [(i, a["bbox"]) for i, items in enumerate(OBJECTS) for a in items]
    assert [image for image, _ in boxes] == [image for image, _ in expected]
    assert [box for _, box in boxes] == [pytest.approx(box) for _, box in sorted(expected)]
    assert {entry["category_id"] for entry in found} == {1}  # of the file, not the model's 0


@pytest.mark.usefixtures("no_compiled_ops")
def test_without_compiled_ops_pycocotools_evaluates(tmp_path: Path) -> None:
    write_coco(tmp_path, OBJECTS)
    with registered_coco(tmp_path) as name:
        DatasetCatalog.get(name)
        assert not build_coco_evaluator(name)._use_fast_impl


@pytest.mark.parametrize("has_evaluation", [True, False])
def test_compiled_evaluation_is_used_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_evaluation: bool
) -> None:
    # A build may have other compiled ops, and not this one.
    names = {"nms_rotated", *(["COCOevalEvaluateImages"] if has_evaluation else [])}
    ops = SimpleNamespace(**dict.fromkeys(names))
    monkeypatch.setattr(detectron2, "_C", ops, raising=False)
    # Detectron2 takes pycocotools' class in its place where it could not load its own.
    monkeypatch.setattr("detectron2.evaluation.coco_evaluation.COCOeval_opt", object)
    write_coco(tmp_path, OBJECTS)
    with registered_coco(tmp_path) as name:
        DatasetCatalog.get(name)
        assert build_coco_evaluator(name)._use_fast_impl == has_evaluation


@pytest.mark.parametrize("missing", [["iscrowd"], ["area"], ["iscrowd", "area"]])
def test_missing_values_are_filled_in(missing: list[str]) -> None:
    # 4 x 5 pixels
    good = {"id": 1, "bbox": [1, 2, 4, 5], "iscrowd": 0, "area": 20.0}
    lacking = {key: value for key, value in good.items() if key not in missing}
    nulls = {**good, **dict.fromkeys(missing)}
    annotations = [dict(good), lacking, nulls]
    assert fill_in(annotations) == 2
    assert annotations == [good] * 3


def test_crowds_as_text_are_read() -> None:
    annotations = [{"id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": text} for text in "01"]
    assert fill_in(annotations) == 2
    assert [a["iscrowd"] for a in annotations] == [0, 1]
    with pytest.raises(UserError, match="annotation 7: iscrowd must be 0 or 1"):
        fill_in([{"id": 7, "bbox": [0, 0, 2, 2], "iscrowd": "maybe"}])


def test_a_file_without_crowds_and_areas_is_evaluated(tmp_path: Path) -> None:
    write_coco(tmp_path, [[{"bbox": [30, 20, 60, 70]}]])
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        del annotation["iscrowd"], annotation["area"]
    file.write_text(json.dumps(content))
    with registered_coco(tmp_path) as name, log_lines("vfnet_d2.evaluation.coco") as lines:
        DatasetCatalog.get(name)
        evaluator = build_coco_evaluator(name)
        found = Instances((160, 160))
        found.pred_boxes = Boxes(torch.tensor([[30.0, 20.0, 90.0, 90.0]]))
        found.scores, found.pred_classes = torch.tensor([0.9]), torch.tensor([0])
        evaluator.reset()
        evaluator.process([{"image_id": 0}], [{"instances": found}])
        assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100)
    assert "1 annotations have no usable iscrowd or area" in "\n".join(lines)
