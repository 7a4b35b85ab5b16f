"""The quickstart's detector on each device against the CPU."""

import copy
from typing import Any

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import Tensor, nn

from tests.helpers.devices import DEVICES, WaitsForDevice
from tests.helpers.quick_model import quick_config
from tests.helpers.small_model import random_input
from tests.helpers.tolerance import epsilon
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs

# See test_layers.py.
FACTOR = 8
LAYERS = 30  # that round, one after the other, from the image to a loss


def quick_model(*options: Any) -> nn.Module:
    """The quickstart's model, with scores between 0 and 1."""
    star = "MODEL.ONE_STAGE.DEFORM_CONV"
    model = build_model(quick_config(star, "grid_sample", *options))
    nn.init.normal_(model.head.cls_pred.weight, std=0.3)
    nn.init.constant_(model.head.cls_pred.bias, -3.0)
    return model


def batches() -> list[list[dict[str, Any]]]:
    sizes = [(96, 128), (128, 90)]
    return [
        [random_input(*size, 3 + i, seed=10 * number + i) for i, size in enumerate(sizes)]
        for number in range(4)
    ]


def train(model: nn.Module, batch: list[dict[str, Any]]) -> tuple[Tensor, list[Tensor]]:
    """Losses (3,) and gradients of a step, on the CPU in float64."""
    model.train().zero_grad(set_to_none=True)
    losses = model(copy.deepcopy(batch))
    sum(losses.values()).backward()
    gradients = [p.grad.double().cpu() for p in model.parameters() if p.grad is not None]
    return torch.stack([losses[name].double().cpu().detach() for name in sorted(losses)]), gradients


def errors(found: Any, exact: Any) -> tuple[float, float]:
    """Largest relative error of the losses, and of the gradients by their norms."""
    losses = ((found[0] - exact[0]).abs() / exact[0].abs()).max().item()
    pairs = zip(found[1], exact[1], strict=True)
    return losses, max(((a - b).norm() / b.norm()).item() for a, b in pairs if b.norm() > 0)


@pytest.mark.parametrize("device", DEVICES)
def test_a_training_step(device: str) -> None:
    """Losses and gradients of the quickstart's training step are the CPU's.

    Batch statistics are fixed: on so few cells they amplify rounding. The bound is the CPU's own
    float32 noise against float64, the largest of four batches, times ``FACTOR``.
    """
    model = quick_model("MODEL.RESNETS.NORM", "FixedStatsBN")
    wide, there = copy.deepcopy(model).double(), copy.deepcopy(model).to(device)
    noise, found = [], []
    for batch in batches():
        exact = train(wide, batch)
        noise.append(errors(train(model, batch), exact))
        found.append(errors(train(there, batch), exact))
    for one, bound in zip(zip(*found, strict=True), zip(*noise, strict=True), strict=True):
        assert max(one) <= FACTOR * max(bound)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype, device: str) -> None:
    """Losses under autocast are those of float32, up to the rounding of each layer's output.

    Roundings by half a spacing at most add up like a random walk; three times its length.
    """
    rounding = 3 * LAYERS**0.5 * epsilon(dtype) / 2
    model = quick_model("MODEL.RESNETS.NORM", "FixedStatsBN").to(device).train()
    for batch in batches():
        exact = model(copy.deepcopy(batch))
        with torch.autocast(device, dtype=dtype):
            losses = model(copy.deepcopy(batch))
        for name, loss in losses.items():
            assert loss.dtype == torch.float32
            assert loss.item() == pytest.approx(exact[name].item(), rel=rounding), name


class RoundedOnce(nn.Module):
    """A head in float64 whose outputs are float32: what post-processing gets without noise."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Round."""
        outputs = self.head(features)
        boxes = [DenseBoxes([level.float() for level in x.maps()]) for x in outputs.boxes]
        return outputs._replace(logits=[level.float() for level in outputs.logits], boxes=boxes)


def detect(model: nn.Module, batch: list[dict[str, Any]]) -> list[Instances]:
    with torch.no_grad():
        return [output["instances"].to("cpu") for output in model.eval()(copy.deepcopy(batch))]


def distance(found: Instances, other: Instances) -> tuple[float, float]:
    """Largest difference of boxes (pixels) and scores between partners of the same class."""
    assert len(found) == len(other) > 10
    gaps = (found.pred_boxes.tensor[:, None] - other.pred_boxes.tensor).abs().amax(2)
    gaps[found.pred_classes[:, None] != other.pred_classes] = torch.inf
    boxes, partner = gaps.min(1)
    assert sorted(partner.tolist()) == list(range(len(found)))
    return boxes.max().item(), (found.scores - other.scores[partner]).abs().max().item()


@pytest.mark.parametrize("device", DEVICES)
def test_detections(device: str) -> None:
    """Detections are the CPU's; the bound is the CPU's float32 noise times ``FACTOR``."""
    model = quick_model("MODEL.ONE_STAGE.SCORE_THRESH", 0.0)
    wide, there = copy.deepcopy(model).double(), copy.deepcopy(model).to(device)
    wide.head = RoundedOnce(wide.head)
    noise, found = [], []
    for batch in batches():
        for exact, here, other in zip(
            *(detect(m, batch) for m in (wide, model, there)), strict=True
        ):
            noise.append(distance(here, exact))
            found.append(distance(other, exact))
    for one, bound in zip(zip(*found, strict=True), zip(*noise, strict=True), strict=True):
        assert max(one) <= FACTOR * max(bound)


@pytest.mark.parametrize("device", DEVICES)
def test_waits(device: str) -> None:
    """A training step's forward pass waits for the device as often for 40 objects as for 4."""
    model = quick_model().to(device).train()
    counts = []
    for objects in (2, 20):
        batch = [random_input(96, 128, objects, seed=i) for i in range(2)]
        with WaitsForDevice() as waits:
            model(batch)
        counts.append(sorted(waits.names))
    assert counts[0] == counts[1]
    assert counts[0]  # the positives are counted at least: the mode sees something
