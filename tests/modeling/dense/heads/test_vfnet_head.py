"""Tests of vfnet_d2.modeling.dense.heads.vfnet_head."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.head_outputs import maps_of
from vfnet_d2.layers.deform.backend import set_deform_conv
from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d
from vfnet_d2.layers.deform.star_ops import star_offsets
from vfnet_d2.modeling.dense.heads import vfnet_head
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY, DenseHead
from vfnet_d2.modeling.dense.heads.vfnet_head import VFNetHead

BOX_BRANCH = ("box_conv.", "box_pred.", "box_scales.")


def make_head(**options: Any) -> VFNetHead:
    """A head over two levels of eight channels with five classes."""
    defaults: dict[str, Any] = {
        "in_channels": 8,
        "num_classes": 5,
        "num_levels": 2,
        "channels": 32,
        "init_std": 0.05,
    }
    head = VFNetHead(**(defaults | options))
    set_deform_conv(head, "grid_sample")
    return head


def features() -> list[Tensor]:
    return [torch.randn(2, 8, 6, 7), torch.randn(2, 8, 3, 4)]


def box_branch_gradients(head: VFNetHead, loss: Tensor) -> dict[str, Tensor | None]:
    """Gradients of what predicts the initial box."""
    head.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {n: p.grad for n, p in head.named_parameters() if n.startswith(BOX_BRANCH)}


def total(levels: list[Tensor]) -> Tensor:
    return torch.stack([level.float().square().sum() for level in levels]).sum()


def captured_distances(
    head: VFNetHead, inputs: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """What the head asks stars of, in strides, level by level."""
    asked: list[Tensor] = []

    def spy(distances: Tensor) -> Tensor:
        asked.append(distances)
        return star_offsets(distances)

    monkeypatch.setattr(vfnet_head, "star_offsets", spy)
    head(inputs)
    return asked


def test_shapes_of_the_outputs() -> None:
    logits, boxes, quality = maps_of(make_head()(features()))
    assert [tuple(x.shape) for x in logits] == [(2, 5, 6, 7), (2, 5, 3, 4)]
    assert len(boxes) == 2 and quality is None
    for stage in boxes:
        assert [tuple(x.shape) for x in stage] == [(2, 4, 6, 7), (2, 4, 3, 4)]


def test_distances_are_positive() -> None:
    _, boxes, _ = maps_of(make_head(init_std=0.5)(features()))
    assert all((level > 0).all() for stage in boxes for level in stage)


def test_towers_have_group_norm_and_no_bias() -> None:
    head = make_head()
    for block in [*head.cls_tower, *head.box_tower, head.box_conv]:
        assert block.bias is None
        assert isinstance(block.norm, nn.GroupNorm) and block.norm.num_groups == 32
    assert len(head.cls_tower) == len(head.box_tower) == 3


def test_the_state_holds_parameters_alone() -> None:
    assert list(make_head().buffers()) == []


def test_every_score_starts_at_the_prior() -> None:
    head = make_head(prior_prob=0.01)
    torch.testing.assert_close(head.cls_pred.bias.sigmoid(), torch.full((5,), 0.01))
    assert head.cls_pred.bias[0].item() == pytest.approx(-math.log(99))


def test_weights_start_with_the_given_deviation() -> None:
    head = make_head(channels=64, init_std=0.03)
    weights = [m.weight for m in head.modules() if hasattr(m, "weight") and m.weight.ndim == 4]
    assert len(weights) == 3 + 3 + 1 + 2 + 2 + 1
    for weight in weights:
        # four standard errors of the estimate
        tolerance = 4 / math.sqrt(2 * weight.numel())
        assert weight.std().item() == pytest.approx(0.03, rel=tolerance)


def test_other_biases_and_the_level_scalars_start_neutral() -> None:
    head = make_head()
    assert not head.box_pred.bias.any() and not head.refine_pred.bias.any()
    assert [s.scale.item() for s in (*head.box_scales, *head.refine_scales)] == [1] * 4


@pytest.mark.usefixtures("float64")
def test_the_refined_box_is_a_factor_of_the_initial() -> None:
    head = make_head()
    nn.init.zeros_(head.refine_pred.weight)
    with torch.no_grad():
        head.refine_pred.bias.copy_(torch.tensor([2.0, 3.0, 4.0, 5.0]).log())
    _, (initial, refined), _ = maps_of(head(features()))
    factor = torch.tensor([2.0, 3.0, 4.0, 5.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(refined, [factor * level for level in initial])


@pytest.mark.usefixtures("float64")
def test_each_level_has_its_own_scalars_and_shares_the_rest() -> None:
    head = make_head()
    with torch.no_grad():
        head.box_scales[1].scale.fill_(2.0)
    x = torch.randn(1, 8, 5, 5)
    _, (initial, _), _ = maps_of(head([x, x]))
    # exp(2 v) = exp(v)^2
    torch.testing.assert_close(initial[1], initial[0].square())


@pytest.mark.usefixtures("float64")
def test_the_star_spans_the_initial_box(monkeypatch: pytest.MonkeyPatch) -> None:
    head = make_head(anchor_scale=6.0)
    inputs = features()
    _, (initial, _), _ = maps_of(head(inputs))
    asked = captured_distances(head, inputs, monkeypatch)
    torch.testing.assert_close(asked, [6 * level for level in initial])


@pytest.mark.parametrize("stride", [8, 16, 128])
def test_offsets_and_their_gradient_of_the_reference(
    stride: int, components: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = make_head(num_levels=1)
    pixels = torch.from_numpy(components[f"star.s{stride}.bbox_pred"])
    exponent = (pixels.double() / (8 * stride)).log().requires_grad_()
    head.box_conv = nn.Identity()
    head.box_pred.forward = lambda _: exponent
    offsets: list[Tensor] = []

    def spy(distances: Tensor) -> Tensor:
        offsets.append(star_offsets(distances))
        return offsets[0].float()

    monkeypatch.setattr(vfnet_head, "star_offsets", spy)
    head([torch.randn(2, 8, 3, 5)])
    np.testing.assert_allclose(
        offsets[0].detach(), components[f"star.s{stride}.offset"], rtol=0, atol=1e-5
    )
    (offsets[0] * torch.from_numpy(components[f"star.s{stride}.cotangent"])).sum().backward()
    # d exponent = d pixels * pixels, as pixels = 8 stride exp(exponent)
    stored = torch.from_numpy(components[f"star.s{stride}.grad_bbox_pred"]) * pixels
    bound = 1e-5 * stored.abs().max().item()
    torch.testing.assert_close(exponent.grad, stored.double(), rtol=0, atol=bound)


@pytest.mark.parametrize("output", ["logits", "refined"])
def test_without_star_gradient_nothing_reaches_the_initial_box(output: str) -> None:
    head = make_head(star_gradient=0.0)
    logits, (_, refined), _ = maps_of(head(features()))
    gradients = box_branch_gradients(head, total(logits if output == "logits" else refined))
    assert all(g is None or (g == 0).all() for g in gradients.values())


@pytest.mark.parametrize("output", ["logits", "refined"])
def test_a_tenth_of_the_star_s_gradient_reaches_the_initial_box(output: str) -> None:
    head = make_head()
    inputs = features()
    gradients = []
    for share in (0.1, 1.0):
        head.star_gradient = share
        logits, (_, refined), _ = maps_of(head(inputs))
        loss = total(logits if output == "logits" else refined)
        gradients.append(box_branch_gradients(head, loss))
    for name, whole in gradients[1].items():
        assert whole.abs().max() > 0, name
        bound = 1e-4 * whole.abs().max().item()
        torch.testing.assert_close(gradients[0][name], 0.1 * whole, rtol=0, atol=bound)


def test_initial_boxes_train_their_own_branch_and_no_other() -> None:
    head = make_head()
    _, (initial, _), _ = maps_of(head(features()))
    total(initial).backward()
    trained = {name.split(".")[0] for name, p in head.named_parameters() if p.grad is not None}
    assert trained == {"box_tower", "box_conv", "box_pred", "box_scales"}


@pytest.mark.usefixtures("float64")
def test_both_branches_are_what_the_paper_draws() -> None:
    """Fig. 3, layer by layer, with the functional forms."""
    head = make_head(num_levels=1)
    (x, _) = features()
    (logits,), ((initial,), (refined,)), _ = maps_of(head([x]))

    def tower(blocks: nn.Module) -> Tensor:
        y = x
        for b in blocks:
            y = F.relu(
                F.group_norm(F.conv2d(y, b.weight, padding=1), 32, b.norm.weight, b.norm.bias)
            )
        return y

    box, cls = tower(head.box_tower), tower(head.cls_tower)
    expected = head.box_pred(head.box_conv(box)).exp()
    torch.testing.assert_close(initial, expected)
    offsets = star_offsets(8 * expected)
    torch.testing.assert_close(
        refined, head.refine_pred(F.relu(head.refine_star(box, offsets))).exp() * expected
    )
    torch.testing.assert_close(logits, head.cls_pred(F.relu(head.cls_star(cls, offsets))))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_boxes_and_stars_are_single_precision_under_autocast(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, inputs = make_head(), features()
    with torch.autocast("cpu", dtype=dtype):
        asked = captured_distances(head, inputs, monkeypatch)
        logits, boxes, _ = maps_of(head(inputs))
    assert {level.dtype for stage in boxes for level in stage} == {torch.float32}
    assert {distances.dtype for distances in asked} == {torch.float32}
    assert {level.dtype for level in logits} == {dtype}


def test_a_head_without_towers_works() -> None:
    assert make_head(num_convs=0)(features()).logits[0].shape == (2, 5, 6, 7)


def test_levels_must_be_as_many_as_announced() -> None:
    with pytest.raises(ValueError, match="zip"):
        make_head()([*features(), torch.randn(2, 8, 2, 2)])


def test_is_registered_and_fits_the_protocol() -> None:
    assert HEAD_REGISTRY.get("VFNetHead") is VFNetHead
    assert isinstance(make_head(), DenseHead)


def test_the_last_convolutions_of_the_towers_are_deformable_when_asked() -> None:
    head = make_head(deform_last=True)
    deformable = {
        name for name, part in head.named_modules() if isinstance(part, ModulatedDeformConv2d)
    }
    assert deformable == {"cls_tower.2", "box_tower.2"}
    assert not [p for p in make_head().modules() if isinstance(p, ModulatedDeformConv2d)]


def test_deformable_convolutions_start_on_the_grid_with_the_head_s_spread() -> None:
    for tower in ("cls_tower", "box_tower"):
        conv = getattr(make_head(deform_last=True, init_std=0.02, channels=64), tower)[2]
        assert (conv.conv_offset.weight == 0).all() and (conv.conv_offset.bias == 0).all()
        # 64 * 64 * 9 = 36,864 draws: the deviation's standard error is 0.4 %
        assert conv.weight.std().item() == pytest.approx(0.02, rel=0.02)
