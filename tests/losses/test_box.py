"""Tests of vfnet_d2.losses.box."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou_loss

from tests.helpers.tolerance import in_float64
from vfnet_d2.losses.box import BoxLoss, GIoULoss, SmoothL1Loss, giou_loss, paired_iou

# Reference losses ran with this factor.
LOSS_WEIGHT = 1.5

Components = dict[str, np.ndarray]


def boxes_of(components: Components) -> tuple[torch.Tensor, torch.Tensor]:
    """60 pairs, among them equal, disjoint, touching, inverted and empty boxes."""
    predicted, target = (in_float64(components[f"giou.{k}"]) for k in ("pred", "target"))
    return predicted.requires_grad_(), target


def random_boxes(count: int, generator: torch.Generator) -> torch.Tensor:
    corner = 50 * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + 1 + 50 * torch.rand(count, 2, generator=generator)], dim=1)


def test_losses_of_the_reference(components: Components) -> None:
    loss = LOSS_WEIGHT * giou_loss(*boxes_of(components)).detach()
    np.testing.assert_allclose(loss, components["giou.none_lw1.5"], rtol=0, atol=2e-6)


def test_gradient_of_the_reference(components: Components) -> None:
    predicted, target = boxes_of(components)
    (LOSS_WEIGHT * giou_loss(predicted, target)).sum().backward()
    stored = components["giou.grad_of_sum_lw1.5"]
    np.testing.assert_allclose(predicted.grad, stored, rtol=1e-5, atol=1e-7)


def test_weighted_mean_and_its_gradient_of_the_reference(components: Components) -> None:
    predicted, target = boxes_of(components)
    weight = in_float64(components["giou.weight"])
    loss = LOSS_WEIGHT * (giou_loss(predicted, target) * weight).sum() / weight.sum()
    loss.backward()
    assert loss.item() == pytest.approx(components["giou.weighted_avg_lw1.5"].item(), rel=1e-6)
    stored = components["giou.weighted_grad_lw1.5"]
    np.testing.assert_allclose(predicted.grad, stored, rtol=1e-5, atol=1e-8)


def test_ious_of_the_reference(components: Components) -> None:
    predicted, target = boxes_of(components)
    iou = paired_iou(predicted.detach(), target)
    np.testing.assert_allclose(iou, components["iou.aligned_eps1e-6"], rtol=0, atol=1e-6)


def test_iou_agrees_with_torchvision() -> None:
    generator = torch.Generator().manual_seed(3)
    boxes1, boxes2 = random_boxes(50, generator), random_boxes(50, generator)
    torch.testing.assert_close(paired_iou(boxes1, boxes2), box_iou(boxes1, boxes2).diag())


def test_giou_agrees_with_torchvision() -> None:
    generator = torch.Generator().manual_seed(4)
    boxes1, boxes2 = random_boxes(50, generator), random_boxes(50, generator)
    torch.testing.assert_close(
        giou_loss(boxes1, boxes2), generalized_box_iou_loss(boxes1, boxes2), rtol=0, atol=1e-5
    )


def test_hand_computed_iou_and_giou() -> None:
    # 2x2 boxes shifted by one: intersection 1, union 7, enclosing 9
    boxes1, boxes2 = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 3, 3]])
    assert paired_iou(boxes1, boxes2).item() == pytest.approx(1 / 7)
    assert giou_loss(boxes1, boxes2).item() == pytest.approx(1 - (1 / 7 - 2 / 9))


def test_a_union_below_eps_counts_as_eps() -> None:
    # both boxes and their intersection have the area 1e-8; eps is 1e-6
    tiny = torch.tensor([[0.0, 0.0, 1e-4, 1e-4]], dtype=torch.float64)
    assert paired_iou(tiny, tiny).item() == pytest.approx(1e-8 / 1e-6)
    assert giou_loss(tiny, tiny).item() == pytest.approx(1 - (0.1 - (1e-7 - 1e-8) / 1e-7))


def test_empty_boxes_give_no_nan() -> None:
    empty = torch.zeros(1, 4, requires_grad=True)
    loss = giou_loss(empty, torch.zeros(1, 4)).sum()
    loss.backward()
    assert loss.isfinite() and empty.grad.isfinite().all()
    assert paired_iou(empty.detach(), torch.zeros(1, 4)).item() == 0


def test_no_pairs_keep_the_graph() -> None:
    none = torch.zeros(0, 4, requires_grad=True)
    giou_loss(none, torch.zeros(0, 4)).sum().backward()
    assert none.grad.shape == (0, 4)


def test_the_module_fits_the_protocol() -> None:
    loss = GIoULoss()
    assert isinstance(loss, BoxLoss)
    boxes = torch.tensor([[0.0, 0, 2, 2], [1.0, 1, 3, 3]])
    assert loss(boxes, boxes.flip(0)).shape == (2,)


@pytest.mark.parametrize("loss", [GIoULoss(), SmoothL1Loss()])
def test_losses_follow_the_protocol(loss: torch.nn.Module) -> None:
    assert isinstance(loss, BoxLoss)
    assert loss(torch.rand(7, 4), torch.rand(7, 4)).shape == (7,)


def test_smooth_l1_is_quadratic_below_beta_and_linear_above() -> None:
    # differences .5, .1, 0 and -2 with beta .2: .5 - .1, .01 / .4, 0, 2 - .1
    predicted, target = torch.tensor([[0.5, 0.1, 0.0, -2.0]]), torch.zeros(1, 4)
    assert SmoothL1Loss(beta=0.2)(predicted, target).item() == pytest.approx(0.4 + 0.025 + 1.9)


def test_smooth_l1_without_beta_is_the_absolute_difference() -> None:
    predicted, target = torch.tensor([[0.5, 0.1, 0.0, -2.0]]), torch.zeros(1, 4)
    assert SmoothL1Loss()(predicted, target).item() == pytest.approx(2.6)
