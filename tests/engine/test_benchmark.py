"""Tests of vfnet_d2.engine.benchmark: what it computes, not how long anything takes."""

import torch

from vfnet_d2.engine.benchmark import interleave, medians, random_batch
from vfnet_d2.modeling.targets import check_targets


def test_medians_of_each_part_and_of_the_total():
    runs = [{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 1.0}, {"a": 6.0, "b": 2.0}]
    # totals 10, 3 and 8
    assert medians(runs) == {"a": 2.0, "b": 2.0, "total": 8.0}


def test_jobs_run_in_turn_and_the_warm_up_does_not_count():
    order = []

    def job(name):
        order.append(name)
        return {"part": float(len(order))}

    runs = interleave({"x": lambda: job("x"), "y": lambda: job("y")}, repeats=2, warmup=1)
    assert order == ["x", "y"] * 3
    assert runs == {"x": [{"part": 3.0}, {"part": 5.0}], "y": [{"part": 4.0}, {"part": 6.0}]}


def test_random_batches_are_valid_training_inputs_and_repeat():
    one = random_batch(images=2, height=64, width=96, boxes=5, num_classes=3)
    other = random_batch(images=2, height=64, width=96, boxes=5, num_classes=3)
    check_targets(one, num_classes=3)
    assert [tuple(item["image"].shape) for item in one] == [(3, 64, 96)] * 2
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["instances"].gt_boxes.tensor, b["instances"].gt_boxes.tensor)
