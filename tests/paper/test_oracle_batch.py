"""Tests of vfnet_d2.paper.oracle_batch."""

from typing import Any

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from tests.helpers.scripted_detector import (
    FixedMatcher,
    scripted_detector,
    silent_outputs,
)
from tests.helpers.small_model import random_input, small_model
from vfnet_d2.modeling.dense.box_coders import BOX_CODER_REGISTRY
from vfnet_d2.modeling.dense.structures import HeadOutputs
from vfnet_d2.paper.oracle import Foreground, replace_boxes, replace_scores
from vfnet_d2.paper.oracle_batch import BatchAnalysis, analyse_batch, find_foreground

# 128 x 96 pixels: 4 columns and 3 rows of cells at multiples of 32.
HEIGHT, WIDTH = 96, 128
BOX = [10.3, 20.7, 90.1, 77.9]
INSIDE = 5  # the cell at (32, 32)
OUTSIDE = 4  # the cell at (0, 32), to the left of the box


def item(boxes: Any, classes: Any, *, height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    """An input with ground truth."""
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return {"image": torch.zeros(3, height, width), "instances": instances}


def analysed(outputs: HeadOutputs, matcher: Any, batch: Any, **options: Any) -> BatchAnalysis:
    return analyse_batch(scripted_detector([outputs], matcher, **options), batch)


def foreground(coder: Any, cell: int) -> tuple[Foreground, Tensor]:
    """What a detector with that coder should say at a cell for BOX, and the box decoded."""
    model = scripted_detector([], FixedMatcher({cell: 0}), coder=coder)
    outputs = silent_outputs(HEIGHT, WIDTH)
    found = find_foreground(model, outputs, [item([BOX], [0])["instances"]])
    return found, coder.apply_deltas(found.deltas, found.matches.anchor_boxes)


# -- the foreground -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, _ in BOX_CODER_REGISTRY])
def test_true_boxes_decode_to_the_ground_truth(name: str) -> None:
    _, decoded = foreground(BOX_CODER_REGISTRY.get(name)(), INSIDE)
    # A few roundings of numbers up to 128 in float32: 128 * 2^-24 = 8e-6 each.
    torch.testing.assert_close(decoded, torch.tensor([BOX]), rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", ["CentreSizeDeltas", "CornerOffsets"])
def test_these_coders_reach_boxes_beside_the_point(name: str) -> None:
    _, decoded = foreground(BOX_CODER_REGISTRY.get(name)(), OUTSIDE)
    torch.testing.assert_close(decoded, torch.tensor([BOX]), rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", ["LinearDistances", "LogDistances"])
def test_distances_reach_from_the_point(name: str) -> None:
    # The point (0, 32) stays the left edge: no distance to the right of it can be negative.
    _, decoded = foreground(BOX_CODER_REGISTRY.get(name)(), OUTSIDE)
    wanted = torch.tensor([[0.0, *BOX[1:]]])
    torch.testing.assert_close(decoded, wanted, rtol=0, atol=3e-5)


def test_centerness_is_asked_for_only_with_a_branch() -> None:
    found, _ = foreground(BOX_CODER_REGISTRY.get("LinearDistances")(), INSIDE)
    assert found.centerness is None


# -- detections ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small VFNet that detects everywhere; leave it as it is."""
    return small_model("MODEL.ONE_STAGE.SCORE_THRESH", 0.0).eval()


def test_as_predicted_is_the_models_own_output(model: nn.Module) -> None:
    # Images of different sizes, one without objects, and another size asked for.
    batch = [random_input(96, 128, 3), random_input(64, 64, 0) | {"height": 128, "width": 256}]
    found = analyse_batch(model, batch).detections["predicted"]
    with torch.no_grad():
        wanted = [result["instances"] for result in model(batch)]
    for one, other in zip(found, wanted, strict=True):
        assert one.image_size == other.image_size
        assert torch.equal(one.pred_boxes.tensor, other.pred_boxes.tensor)
        assert torch.equal(one.scores, other.scores)
        assert torch.equal(one.pred_classes, other.pred_classes)


def test_the_network_runs_once() -> None:
    model = scripted_detector([silent_outputs(HEIGHT, WIDTH, quality=True)], FixedMatcher({5: 0}))
    result = analyse_batch(model, [item([BOX], [0])])
    assert (model.head.calls, len(result.detections)) == (1, 10)


def test_a_certain_class_is_detected_at_its_point() -> None:
    outputs = silent_outputs(HEIGHT, WIDTH)
    result = analysed(outputs, FixedMatcher({INSIDE: 0}), [item([BOX], [3])])
    (found,) = result.detections["score_one"]
    # The silent box: 0.5 sides of 64 around (32, 32).
    assert found.pred_boxes.tensor.tolist() == [[0.0, 0.0, 64.0, 64.0]]
    assert (found.scores.tolist(), found.pred_classes.tolist()) == ([1.0], [3])
    assert len(result.detections["predicted"][0]) == 0


def test_the_right_anchor_of_a_cell_is_replaced() -> None:
    outputs = silent_outputs(HEIGHT, WIDTH, anchors=3)
    (stage,) = outputs.boxes
    stage.maps()[0].zero_()  # boxes are anchors
    model = scripted_detector(
        [outputs],
        FixedMatcher({3 * INSIDE + 2: 0}),
        coder=BOX_CODER_REGISTRY.get("CentreSizeDeltas")(),
        ratios=(4.0, 1.0, 0.25),
    )
    (found,) = analyse_batch(model, [item([BOX], [3])]).detections["score_one"]
    # Detectron2's ratios are heights over widths: 0.25 is 128 wide, 32 high, around (32, 32).
    assert found.pred_boxes.tensor.tolist() == [[0.0, 16.0, 96.0, 48.0]]


def test_ignored_anchors_keep_their_predictions() -> None:
    outputs = silent_outputs(HEIGHT, WIDTH)
    outputs.logits[0][0, 3, 1, 0] = 2.0  # class 3 at cell OUTSIDE
    matcher = FixedMatcher({INSIDE: 0}, ignored=[OUTSIDE])
    (found,) = analysed(outputs, matcher, [item([BOX], [0])]).detections["true_boxes"]
    assert found.pred_boxes.tensor.tolist() == [[0.0, 0.0, 32.0, 64.0]]
    assert found.scores.tolist() == pytest.approx([1 / (1 + 2.718281828**-2)])


def test_detections_come_in_the_files_coordinates() -> None:
    # The file is twice as wide and three times as high as the network's input.
    given = item([BOX], [3]) | {"height": 3 * HEIGHT, "width": 2 * WIDTH}
    result = analysed(silent_outputs(HEIGHT, WIDTH), FixedMatcher({INSIDE: 0}), [given])
    (found,) = result.detections["score_one"]
    assert found.image_size == (3 * HEIGHT, 2 * WIDTH)
    assert found.pred_boxes.tensor.tolist() == [[0.0, 0.0, 128.0, 192.0]]


def test_an_image_without_objects_has_no_foreground() -> None:
    outputs = silent_outputs(HEIGHT, WIDTH, quality=True)
    outputs.logits[0][0, 2, 0, 3] = 2.0
    result = analysed(outputs, FixedMatcher({INSIDE: 0}), [item([], [])])
    assert len(result.scores) == len(result.ious) == 0
    assert {len(found[0]) for found in result.detections.values()} == {1}


def test_scores_and_ious_of_the_foreground() -> None:
    # The silent box (0, 0, 64, 64) against (0, 0, 64, 32): IoU 1/2; logit 0 and quality 0: 1/4.
    outputs = silent_outputs(HEIGHT, WIDTH, quality=True)
    outputs.logits[0][0, 1, 1, 1] = 0.0
    result = analysed(outputs, FixedMatcher({INSIDE: 0}), [item([[0, 0, 64, 32]], [1])])
    assert (result.scores.tolist(), result.ious.tolist()) == ([0.25], [0.5])


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(model: nn.Module, precision: torch.dtype) -> None:
    batch = [random_input(96, 128, 3)]
    wanted = analyse_batch(model, batch).detections["score_iou"][0]
    with torch.autocast("cpu", dtype=precision):
        found = analyse_batch(model, batch).detections["score_iou"][0]
    assert torch.equal(found.pred_boxes.tensor, wanted.pred_boxes.tensor)


def test_true_boxes_and_certain_classes_find_every_object(model: nn.Module) -> None:
    batch = [random_input(128, 128, 2, seed=1), random_input(96, 128, 3, seed=2)]
    targets = [given["instances"] for given in batch]
    with torch.no_grad():
        images = model.preprocess_image(batch)
        outputs = model.network(images.tensor)
        truth = find_foreground(model, outputs, targets)
        outputs = replace_scores(replace_boxes(outputs, truth), truth)
        results = model.detections(outputs, images.image_sizes)
    for found, target in zip(results, targets, strict=True):
        certain = found[found.scores == 1]
        gaps = torch.cdist(target.gt_boxes.tensor, certain.pred_boxes.tensor)
        # Each object once, and nothing else. Rounding: see above, four numbers.
        assert (gaps < 1e-4).sum(dim=1).tolist() == [1] * len(target) == [1] * len(certain)
        assert torch.equal(certain.pred_classes[gaps.argmin(dim=1)], target.gt_classes)
