"""Tests of vfnet_d2.modeling.dense.heads.yolof_head."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.reference import DATA
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.heads.yolof_head import YOLOFHead, with_objectness

EPS = torch.finfo(torch.float32).eps


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    with np.load(DATA / "yolof_components.npz") as arrays:
        names = [name for name in arrays.files if name.startswith("objectness.")]
        return {name.removeprefix("objectness."): torch.from_numpy(arrays[name]) for name in names}


def test_stored_logits_and_gradients(stored: dict[str, Tensor]) -> None:
    logits = stored["cls"].double().requires_grad_()
    objectness = stored["obj"].double().requires_grad_()
    out = with_objectness(logits, objectness)
    out.sum().backward()
    # The reference's own float32 sum of three numbers: an ulp of the largest for each.
    largest = torch.stack([logits, objectness, out]).abs().amax(0).detach().clamp(min=1)
    assert ((out - stored["out"]).abs() <= 4 * EPS * largest).all()
    torch.testing.assert_close(logits.grad, stored["grad_cls"].double(), atol=4 * EPS, rtol=0)
    torch.testing.assert_close(objectness.grad, stored["grad_obj"].double(), atol=4 * EPS, rtol=0)


def test_is_the_logit_of_the_product() -> None:
    logits, objectness = torch.linspace(-9, 9, 19).double(), torch.linspace(-5, 5, 11).double()
    found = with_objectness(logits[:, None], objectness)
    product = logits.sigmoid()[:, None] * objectness.sigmoid()
    torch.testing.assert_close(found, product.logit())


def test_huge_logits_stay_finite_with_finite_gradients() -> None:
    logits = torch.tensor([200.0, 200.0, -200.0], requires_grad=True)
    objectness = torch.tensor([200.0, -200.0, -200.0], requires_grad=True)
    out = with_objectness(logits, objectness)
    out.sum().backward()
    assert out.isfinite().all()
    assert logits.grad.isfinite().all() and objectness.grad.isfinite().all()


def head(**options: int) -> YOLOFHead:
    return YOLOFHead(in_channels=8, num_classes=3, num_anchors=2, channels=8, **options)


def test_is_registered() -> None:
    assert HEAD_REGISTRY.get("YOLOFHead") is YOLOFHead


def test_channels_go_anchor_by_anchor_and_box_and_objectness_share_a_tower() -> None:
    network = head().eval()
    with torch.no_grad():
        network.objectness_pred.bias.copy_(torch.tensor([5.0, -5.0]))
        x = torch.randn(2, 8, 3, 4)
        outputs = network([x])
        scores = network.cls_pred(network.cls_tower(x))
        objectness = network.objectness_pred(network.box_tower(x))
    assert outputs.logits[0].shape == (2, 2 * 3, 3, 4)
    assert outputs.boxes[0].maps()[0].shape == (2, 2 * 4, 3, 4)
    for anchor in range(2):
        for category in range(3):
            channel = anchor * 3 + category
            expected = with_objectness(scores[:, channel], objectness[:, anchor])
            torch.testing.assert_close(outputs.logits[0][:, channel], expected)


def test_towers_and_start() -> None:
    network = head(num_cls_convs=1, num_box_convs=3)
    assert (len(network.cls_tower), len(network.box_tower)) == (1, 3)
    assert all(conv.bias is None for conv in [*network.cls_tower, *network.box_tower])
    prior = network.cls_pred.bias.sigmoid()
    torch.testing.assert_close(prior, torch.full_like(prior, 0.01))
    assert (network.box_pred.bias == 0).all() and (network.objectness_pred.bias == 0).all()
