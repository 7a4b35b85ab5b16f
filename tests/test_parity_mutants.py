"""The comparison with the reference sees mistakes: each network here has one."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.fill_rule import filled
from tests.helpers.parity import gradient_problems, loss_problems, train_step
from tests.helpers.reference import Reference
from vfnet_d2.layers.deform.star_ops import star_offsets
from vfnet_d2.modeling.dense.heads import vfnet_head

pytestmark = pytest.mark.slow

Mutation = Callable[[nn.Module, pytest.MonkeyPatch], None]


def full_star_gradient(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.head.star_gradient = 1.0


def no_star_gradient(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.head.star_gradient = 0.0


def refinement_reaches_the_initial_box(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    forward = model.head.forward

    def mutant(features: list[Tensor]) -> Any:
        detach = Tensor.detach
        with patch.context() as within:
            # Refinement and star both detach the initial box; the star gets its tenth back.
            within.setattr(Tensor, "detach", lambda tensor: tensor)
            within.setattr(
                vfnet_head, "star_offsets", lambda x: star_offsets(0.9 * detach(x) + 0.1 * x)
            )
            return forward(features)

    model.head.forward = mutant


def targets_from_the_initial_box(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    weights = model.box_weights
    model.box_weights = lambda matches: (seen.append(matches), weights(matches))[1]
    model.iou_target = lambda last, _: seen[-2].ious.clamp(min=1e-6)


def box_losses_divided_by_the_positives(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.box_normalizer = lambda assignment, weights: (assignment.labels == 1).sum()


def box_losses_not_weighted(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.box_weights = lambda matches: torch.ones_like(matches.ious)


def padding_not_classified(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.classified = lambda assignment: assignment.labels >= 0


class _DetachedWeight(nn.Module):
    iou_aware = True

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        focal = 0.75 * logits.detach().sigmoid() ** 2
        weight = torch.where(targets > 0, targets, focal)
        entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (weight * entropy).sum()


def weight_of_negatives_detached(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.cls_loss = _DetachedWeight()


def a_stage_too_many_frozen(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.backbone.bottom_up.res3.requires_grad_(False)


def affine_of_norms_not_trained(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)


def norms_on_batch_statistics(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d


def p6_from_c5(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    top = model.backbone.top_block
    top.in_feature = "res5"
    name = "neck.fpn_convs.3.conv.weight"
    weight = torch.from_numpy(filled(name, (256, 2048, 3, 3))).double()
    top.p6.weight = nn.Parameter(weight)


def p7_without_relu(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    top = model.backbone.top_block

    def mutant(p5: Tensor) -> list[Tensor]:
        p6 = top.p6(p5)
        return [p6, top.p7(p6)]

    top.forward = mutant


def stride_in_the_first_convolution(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    for name in ("res3", "res4", "res5"):
        block = getattr(model.backbone.bottom_up, name)[0]
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def anchors_at_the_middle_of_cells(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    model.anchor_generator.offset = 0.5


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (
        full_star_gradient,
        no_star_gradient,
        refinement_reaches_the_initial_box,
        targets_from_the_initial_box,
        box_losses_divided_by_the_positives,
        box_losses_not_weighted,
        padding_not_classified,
        weight_of_negatives_detached,
        a_stage_too_many_frozen,
        affine_of_norms_not_trained,
        norms_on_batch_statistics,
        p6_from_c5,
        p7_without_relu,
        stride_in_the_first_convolution,
        anchors_at_the_middle_of_cells,
    )
}

# Mistakes that leave the losses as they are, and a parameter whose gradient shows them.
SILENT = {
    "full_star_gradient": "head.box_pred.weight",
    "no_star_gradient": "head.box_pred.weight",
    "refinement_reaches_the_initial_box": "head.box_pred.weight",
    "weight_of_negatives_detached": "head.cls_pred.weight",
    "a_stage_too_many_frozen": "backbone.bottom_up.res3.0.conv1.weight",
    "affine_of_norms_not_trained": "backbone.bottom_up.res5.2.conv3.norm.bias",
}


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in SILENT])
def test_a_mistake_shows_in_the_losses(
    name: str,
    reference: Reference,
    reference_model64: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = copy.deepcopy(reference_model64)
    MUTATIONS[name](model, monkeypatch)
    training = train_step(model, reference, "A", backward=False)
    assert loss_problems(training, reference, "A")


@pytest.mark.parametrize("name", SILENT)
def test_a_mistake_shows_in_the_gradients_alone(
    name: str,
    reference: Reference,
    reference_model64: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = copy.deepcopy(reference_model64)
    MUTATIONS[name](model, monkeypatch)
    training = train_step(model, reference, "A")
    assert loss_problems(training, reference, "A") == []
    problems = gradient_problems(training, reference, "A")
    assert any(problem.startswith(f"{SILENT[name]}: ") for problem in problems), problems
    if "star" in name:
        # Why every parameter is compared: the classifier's branch knows nothing of this one.
        assert not any(problem.startswith("head.cls_") for problem in problems)
