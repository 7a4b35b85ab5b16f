"""Tests of vfnet_d2.modeling.dense.heads.reppoints_head."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from tests.helpers.head_outputs import maps_of
from vfnet_d2.layers.deform.backend import set_deform_conv
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY, DenseHead
from vfnet_d2.modeling.dense.heads.reppoints_head import RepPointsHead


def make_head(**options: Any) -> RepPointsHead:
    """A head of eight channels with five classes."""
    defaults: dict[str, Any] = {
        "in_channels": 8,
        "num_classes": 5,
        "num_levels": 2,
        "channels": 32,
        "init_std": 0.05,
    }
    head = RepPointsHead(**(defaults | options))
    set_deform_conv(head, "grid_sample")
    return head


def features() -> list[Tensor]:
    return [torch.randn(2, 8, 6, 7), torch.randn(2, 8, 3, 4)]


def total(levels: list[Tensor]) -> Tensor:
    return torch.stack([level.square().sum() for level in levels]).sum()


def gradients(head: RepPointsHead, loss: Tensor) -> dict[str, Tensor | None]:
    head.zero_grad(set_to_none=True)
    loss.backward()
    return {name: p.grad for name, p in head.named_parameters()}


def point_set(points: list[tuple[float, float]]) -> Tensor:
    """One cell's nine points, given as (x, y), as (1, 18, 1, 1)."""
    flat = [float(value) for x, y in points for value in (y, x)]
    return torch.tensor(flat).view(1, 18, 1, 1)


def test_shapes_of_the_outputs() -> None:
    logits, boxes, quality = maps_of(make_head()(features()))
    assert [tuple(x.shape) for x in logits] == [(2, 5, 6, 7), (2, 5, 3, 4)]
    assert len(boxes) == 2 and quality is None
    for stage in boxes:
        assert [tuple(x.shape) for x in stage] == [(2, 4, 6, 7), (2, 4, 3, 4)]


def test_a_box_has_the_points_moments_by_hand() -> None:
    # x: three each of 0, 1 and 2: mean 1, unbiased variance 6 / 8. y: eight 0 and a 9: mean 1,
    # variance (8 + 64) / 8 = 9, deviation 3. Factors e^0 and 2. In units of four strides.
    head = make_head()
    head.moment_transfer.data = torch.tensor([0.0, 2.0]).log().nan_to_num(neginf=0.0)
    points = point_set([(i % 3, 9.0 if i == 8 else 0.0) for i in range(9)])
    half = (6 / 8) ** 0.5
    expected = [(1 - half) / 4, (1 - 6) / 4, (1 + half) / 4, (1 + 6) / 4]
    assert head._boxes(points).flatten().tolist() == pytest.approx(expected)


def test_a_hundredth_of_the_gradient_reaches_the_side_factors() -> None:
    head = make_head(moment_gradient=0.01)
    points = point_set([(i % 3, i // 3) for i in range(9)])
    # The right side is mean + deviation x e^w, over 4: its slope in w is deviation / 4 at w = 0.
    head._boxes(points)[0, 2].sum().backward()
    assert head.moment_transfer.grad[0].item() == pytest.approx(0.01 * (6 / 8) ** 0.5 / 4)


@pytest.mark.usefixtures("float64")
def test_convolutions_sample_at_the_points() -> None:
    head = make_head(num_convs=0, point_gradient=1.0)
    x = torch.randn(1, 8, 6, 7)
    logits, (_, (refined,)), _ = maps_of(head([x]))
    points = head.point_pred(F.relu(head.point_conv(x)))
    grid = torch.tensor([[y, x] for y in (-1.0, 0, 1) for x in (-1.0, 0, 1)]).flatten()
    offsets = points - grid[:, None, None]
    sampled = deform_conv2d(x, offsets, head.cls_conv.weight, padding=1)
    torch.testing.assert_close(logits[0], head.cls_pred(F.relu(sampled)))
    moved = deform_conv2d(x, offsets, head.refine_conv.weight, padding=1)
    torch.testing.assert_close(refined, head._boxes(points + head.refine_pred(F.relu(moved))))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("output", ["logits", "refined"])
def test_a_tenth_of_the_sampling_gradient_reaches_the_initial_points(output: str) -> None:
    head, inputs = make_head(num_convs=0), features()
    found = []
    for share in (0.1, 1.0):
        head.point_gradient = share
        logits, (_, refined), _ = maps_of(head(inputs))
        loss = total(logits if output == "logits" else refined)
        found.append(gradients(head, loss)["point_conv.weight"])
    assert found[1].abs().max() > 0
    torch.testing.assert_close(found[0], 0.1 * found[1])


def test_initial_boxes_train_their_own_branch_and_no_other() -> None:
    head = make_head()
    _, (initial, _), _ = maps_of(head(features()))
    grads = gradients(head, total(initial))
    trained = {name.split(".")[0] for name, grad in grads.items() if grad is not None}
    assert trained == {"point_tower", "point_conv", "point_pred", "moment_transfer"}


def test_points_that_coincide_have_a_finite_gradient() -> None:
    head = make_head()
    for parameter in head.point_pred.parameters():
        torch.nn.init.zeros_(parameter)
    _, (initial, _), _ = maps_of(head(features()))
    grads = gradients(head, total(initial))
    assert all(grad.isfinite().all() for grad in grads.values() if grad is not None)


def test_boxes_are_single_precision_under_autocast() -> None:
    head = make_head()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, boxes, _ = maps_of(head(features()))
    assert {level.dtype for stage in boxes for level in stage} == {torch.float32}
    assert {level.dtype for level in logits} == {torch.bfloat16}


def test_is_registered_and_fits_the_protocol() -> None:
    assert HEAD_REGISTRY.get("RepPointsHead") is RepPointsHead
    assert isinstance(make_head(), DenseHead)
