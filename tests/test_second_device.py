"""Every detector on a pretended GPU: no tensor stays on the CPU; the numbers are the CPU's."""

from typing import Any

import pytest
import torch
from detectron2.modeling import build_model
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.helpers.float64 import Float32Suppression
from tests.helpers.second_device import DEVICE, OnDevice, SecondDevice
from tests.helpers.shrink import shrunk_config
from tests.helpers.small_model import random_input
from tests.helpers.tolerance import epsilon
from tests.test_detectors import DETECTORS
from vfnet_d2.layers.deform.backend import IMPLEMENTATIONS

IMAGES = [(64, 96, 3), (64, 64, 0)]


def build(name: str, device: str, implementation: str) -> nn.Module:
    options = ("MODEL.DEVICE", device, "MODEL.ONE_STAGE.DEFORM_CONV", implementation)
    # float64, so that the order of additions does not show
    torch.set_default_dtype(torch.float64)
    try:
        model = build_model(shrunk_config(name, *options))
    finally:
        torch.set_default_dtype(torch.float32)
    model.suppression = Float32Suppression(model.suppression)
    return model


def fill(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy ``state`` to the device; load_state_dict warns of what looks like meta tensors to it."""
    there = model.state_dict(keep_vars=True)
    assert there.keys() == state.keys()
    with torch.no_grad():
        for name, tensor in there.items():
            tensor.copy_(state[name])


def batch() -> list[dict[str, Any]]:
    return [random_input(*size, seed=i) for i, size in enumerate(IMAGES)]


def run(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Tensor]]:
    """Losses, gradients, and boxes and scores of the detections."""
    losses = model.train()(batch())
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.eval().score_thresh = 0.0
    with torch.no_grad():
        found = [output["instances"] for output in model(batch())]
    return losses, gradients, [x for f in found for x in (f.pred_boxes.tensor, f.scores)]


def on_cpu(result: Any) -> Any:
    return tree_map_only(OnDevice, lambda x: x.values, result)


CASES = [(name, "gather") for name in DETECTORS]
CASES += [("vfnet_R_50_DCN_MS_2x", name) for name in IMPLEMENTATIONS if name != "gather"]


@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_trains_and_detects_as_on_the_cpu(name: str, implementation: str) -> None:
    model = build(name, "cpu", implementation)
    with SecondDevice():
        other = build(name, "cuda", implementation)
        fill(other, model.state_dict())
        assert all(p.device == DEVICE for p in other.parameters())
        found = run(other)
        assert all(isinstance(x, OnDevice) for x in tree_leaves(found))
    # fvcore's focal loss is of float32 in any case: a dozen roundings of numbers around 1.
    bound = 16 * epsilon()
    torch.testing.assert_close(on_cpu(found), run(model), rtol=bound, atol=bound)


def test_mixing_devices_is_seen() -> None:
    with SecondDevice():
        there = torch.ones(3, device="cuda")
        assert (there + 1).tolist() == [2.0] * 3
        assert there.cpu().device.type == "cpu"
        with pytest.raises(RuntimeError, match="add got tensors on two devices"):
            there + torch.ones(3)
        index = torch.tensor([0, 2])
        assert there[index].tolist() == [1.0, 1.0]
        with pytest.raises(RuntimeError, match="index got tensors on two devices"):
            torch.ones(3)[index.to("cuda")]
