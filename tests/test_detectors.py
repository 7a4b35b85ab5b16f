"""Every detector of the configs with every classification loss: one step, and empty images."""

from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from tests.helpers.shrink import shrunk_config
from tests.helpers.small_model import random_input
from vfnet_d2.losses.registry import CLS_LOSS_REGISTRY
from vfnet_d2.model_zoo import available_configs

LOSSES = sorted(name for name, _ in CLS_LOSS_REGISTRY)


def kind(cfg: CfgNode) -> str:
    """What makes a detector another one at small size, its classification loss aside."""
    node = cfg.MODEL.ONE_STAGE.clone()
    del node["CLS_LOSS"], node["NMS_THRESH"], node["TOPK_CANDIDATES"]
    return cfg.MODEL.META_ARCHITECTURE + str(cfg.MODEL.ANCHOR_GENERATOR) + str(node)


def find_detectors() -> dict[str, str]:
    """Meta-architecture of each detector, by the shortest name of a config of it."""
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(available_configs(), key=lambda name: (len(name), name)):
        cfg = shrunk_config(name)
        found.setdefault(kind(cfg), (name, cfg.MODEL.META_ARCHITECTURE))
    return dict(found.values())


DETECTORS = find_detectors()


def build(name: str, loss: str) -> nn.Module:
    return build_model(shrunk_config(name, "MODEL.ONE_STAGE.CLS_LOSS.NAME", loss)).train()


def step(model: nn.Module, inputs: list[dict[str, Any]]) -> tuple[dict[str, Tensor], set[str]]:
    """Losses, and the names of the parameters without a gradient."""
    model.zero_grad(set_to_none=True)
    losses = model(inputs)
    torch.stack(list(losses.values())).sum().backward()
    return losses, {name for name, p in model.named_parameters() if p.grad is None}


def images(*boxes: int) -> list[dict[str, Any]]:
    return [random_input(64, 96 - 32 * i, count, seed=i) for i, count in enumerate(boxes)]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", DETECTORS)
def test_trains_and_takes_images_without_objects(name: str, loss: str) -> None:
    model = build(name, loss)
    losses, untrained = step(model, images(3, 2))
    assert {"loss_cls", "loss_bbox"} <= losses.keys()
    assert all(value.isfinite() and value > 0 for value in losses.values()), losses
    assert untrained == set()
    assert all(p.grad.isfinite().all() for p in model.parameters())

    losses, untrained = step(model, images(0, 2))
    assert all(value.isfinite() and value > 0 for value in losses.values()), losses

    # No object in the batch: only background is learnt, and nothing drops out of the graph, which
    # would stop training on several processes.
    losses, untrained = step(model, images(0, 0))
    assert losses["loss_cls"] > 0 and untrained == set()
    others = {key: value.item() for key, value in losses.items() if key != "loss_cls"}
    assert others == dict.fromkeys(others, 0.0)
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", DETECTORS)
def test_detects_within_the_image(name: str) -> None:
    model = build(name, "VarifocalLoss").eval()
    model.score_thresh = 0.0
    inputs = images(0, 0)
    for item in inputs:
        del item["instances"]
    with torch.no_grad():
        results = [result["instances"] for result in model(inputs)]
    assert [result.image_size for result in results] == [(64, 96), (64, 64)]
    for result in results:
        height, width = result.image_size
        boxes = result.pred_boxes.tensor
        assert 0 < len(result) <= model.max_detections_per_image
        assert (boxes >= 0).all() and (boxes <= boxes.new_tensor([width, height] * 2)).all()
        assert (result.scores.diff() <= 0).all()


def test_finds_the_detectors_of_the_paper() -> None:
    paper = {"VFNet", "ATSS", "FCOSATSS", "OneStageRetinaNet", "FoveaBox", "RepPoints"}
    assert set(DETECTORS.values()) >= paper
