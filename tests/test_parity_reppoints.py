"""Our RepPoints R-50 against the reference implementation: ``reppoints_r50.npz``.

The file holds a part of every map. Images do not depend on the case, so one forward pass in
float64 serves the losses and gradients of all cases.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.parity import Training, difference, gradient_problems, match_detections
from tests.helpers.reference import CASES, DATA, Reference, build_reference_model
from vfnet_d2.checkpoint.convert.backbones import Backbone
from vfnet_d2.checkpoint.convert.mmdet_keys import detector_pairs
from vfnet_d2.losses.box import SmoothL1Loss
from vfnet_d2.losses.varifocal import VarifocalLoss
from vfnet_d2.modeling.dense.matchers.point import PointMatcher

pytestmark = pytest.mark.slow

NAME = "baselines/reppoints_R_50_1x"
LOSSES = {"loss_cls": "cls", "loss_bbox": "pts_init", "loss_bbox_refine": "pts_refine"}
LEVELS = range(5)
OUTPUTS = [f"{kind}.l{level}" for kind in ("eval_out.0", "eval_out.1") for level in LEVELS]
POINTS = [f"train_out.{k}.l{level}" for k in (1, 2) for level in LEVELS]
# Of a map's deviation; the file gives the reference's own float32 noise of the outputs alone.
NOISE = 2e-5
RESNET50 = Backbone((3, 4, 6, 3), True, 1, 64, 1, ())


class RepPointsReference(Reference):
    """The reference under RepPoints' names."""

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """Our name of each of theirs."""
        pairs = detector_pairs("RepPoints", RESNET50, deformable_head=False)
        return {pair.theirs: pair.ours for pair in pairs}

    def ours(self, name: str) -> str:
        """Our name of one of the reference's parameters."""
        return self.names[name]


class Forward(NamedTuple):
    """One forward pass in training mode, which keeps its graph."""

    model: nn.Module
    images: Any
    features: list[Tensor]
    outputs: Any
    maps: dict[str, Tensor]


@pytest.fixture(scope="module")
def rep_reference() -> RepPointsReference:
    return RepPointsReference(DATA / "reppoints_r50.npz")


def build(reference: Reference, *, suffix: str) -> nn.Module:
    model = build_reference_model(reference, NAME, suffix=suffix)
    return model


@pytest.fixture(scope="module")
def forward(rep_reference: Reference) -> Iterator[Forward]:
    """The YAML config's network in float64, on the reference's batch."""
    model = build(rep_reference, suffix=".yaml").double().train()
    points: dict[str, list[Tensor]] = {"point_pred": [], "refine_pred": []}
    for name, results in points.items():
        getattr(model.head, name).register_forward_hook(
            lambda module, args, result, results=results: results.append(result.detach())
        )
    images = model.preprocess_image(rep_reference.inputs())
    pyramid = model.backbone(images.tensor)
    features = [pyramid[name] for name in model.head_in_features]
    outputs = model.head(features)
    maps = {}
    for level in LEVELS:
        maps[f"neck.{level}"] = features[level].detach()
        maps[f"eval_out.0.l{level}"] = outputs.logits[level].detach()
        # stored in strides, ours are in anchor sides of four
        maps[f"eval_out.1.l{level}"] = 4 * outputs.boxes[1].maps()[level].detach()
        initial = points["point_pred"][level]
        maps[f"train_out.1.l{level}"] = initial
        maps[f"train_out.2.l{level}"] = initial + points["refine_pred"][level]
    yield Forward(model, images, features, outputs, maps)


@pytest.fixture(scope="module")
def losses(
    rep_reference: Reference, forward: Forward
) -> Callable[[str, nn.Module], dict[str, Tensor]]:
    """Losses of a case with a classification loss."""

    def compute(case: str, cls_loss: nn.Module) -> dict[str, Tensor]:
        own, forward.model.cls_loss = forward.model.cls_loss, cls_loss
        targets = [item["instances"] for item in rep_reference.inputs(case)]
        try:
            return forward.model.losses(forward.outputs, targets)
        finally:
            forward.model.cls_loss = own

    return compute


def test_the_network_has_the_reference_s_parameters(
    rep_reference: Reference, forward: Forward
) -> None:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    state = forward.model.state_dict()
    count = sum(value.numel() for name, value in state.items() if not name.endswith(statistics))
    assert count == rep_reference.meta["n_params"] == 36_849_078


@pytest.mark.parametrize("name", [f"neck.{level}" for level in LEVELS] + POINTS)
def test_maps_in_float64(name: str, rep_reference: Reference, forward: Forward) -> None:
    stored = rep_reference.stored(name)
    assert difference(forward.maps[name], rep_reference, name) < NOISE * stored.std
    assert abs(forward.maps[name].mean().item() - stored.mean) < 1e-6 * stored.std


@pytest.mark.parametrize("name", OUTPUTS)
def test_head_outputs_in_float64(name: str, rep_reference: Reference, forward: Forward) -> None:
    # What is left is the reference's own rounding, which differs a little from run to run.
    assert difference(forward.maps[name], rep_reference, name) < 1.5 * rep_reference.noise(name)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("loss", ["focal", "varifocal"])
def test_losses_in_float64(
    case: str, loss: str, rep_reference: Reference, forward: Forward, losses: Any
) -> None:
    ours = losses(case, forward.model.cls_loss if loss == "focal" else VarifocalLoss())
    for name, theirs in LOSSES.items():
        kind = "loss" if loss == "focal" else "vfl"
        stored = rep_reference.arrays[f"{kind}.{case}.loss_{theirs}"].sum()  # over the levels
        # measured: 4.6e-7
        assert ours[name].item() == pytest.approx(stored, rel=1e-6, abs=0), name


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_s_gradient_norm(
    case: str, rep_reference: Reference, forward: Forward, losses: Any
) -> None:
    values = losses(case, forward.model.cls_loss)
    named = {k: p for k, p in forward.model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(
        sum(values.values()), list(named.values()), retain_graph=True, allow_unused=True
    )
    found = dict(zip(named, gradients, strict=True))
    training = Training({k: v.item() for k, v in values.items()}, found, None)
    assert gradient_problems(training, rep_reference, case) == []
    if case == "A":
        stored = rep_reference.arrays["grad.A.full.bbox_head.moment_transfer"]
        np.testing.assert_allclose(found["head.moment_transfer"], stored, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_varifocal_loss_trains_the_classifier_alike(
    case: str, rep_reference: Reference, forward: Forward, losses: Any
) -> None:
    loss = losses(case, VarifocalLoss())["loss_cls"]
    bias = forward.model.head.cls_pred.bias
    (gradient,) = torch.autograd.grad(loss, bias, retain_graph=True)
    stored = rep_reference.arrays[f"vfl.{case}.gradcls.bbox_head.reppoints_cls_out.bias"]
    np.testing.assert_allclose(gradient, stored, rtol=0, atol=1e-6 * np.abs(stored).max())


MISTAKES: dict[str, Callable[[nn.Module], dict[str, Any]]] = {
    "refinement matched by the anchors": lambda model: {
        "assign": lambda anchors, targets, deltas: [
            model.initial_matcher(anchors, targets),
            model.matcher(anchors, targets),
        ]
    },
    "both stages matched by position": lambda model: {
        "assign": lambda anchors, targets, deltas: [model.initial_matcher(anchors, targets)] * 2
    },
    "two cells a box": lambda model: {"initial_matcher": PointMatcher(topk=2)},
    "ambiguous boxes classified": lambda model: {
        "classified": lambda assignment: torch.ones_like(assignment.labels, dtype=torch.bool)
    },
    "equal weights": lambda model: {"box_loss_weights": (1.0, 1.0)},
    "another beta": lambda model: {"box_loss": SmoothL1Loss(beta=1.0)},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_comparison_sees_a_mistake(
    mistake: str,
    rep_reference: Reference,
    forward: Forward,
    losses: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in MISTAKES[mistake](forward.model).items():
        if name in forward.model._modules:  # where setattr puts it, but does not look for the old
            monkeypatch.setitem(forward.model._modules, name, value)
        else:
            monkeypatch.setattr(forward.model, name, value)
    ours = losses("A", forward.model.cls_loss)
    stored = {k: rep_reference.arrays[f"loss.A.loss_{v}"].sum() for k, v in LOSSES.items()}
    assert any(abs(ours[name].item() / stored[name] - 1) > 1e-4 for name in stored)


def test_detections_of_the_lazy_twin_in_float32(rep_reference: Reference) -> None:
    model = build(rep_reference, suffix=".py").eval()
    with torch.no_grad():
        results = model(rep_reference.inputs())
    for image, result in enumerate(results):
        box, score = match_detections(result["instances"], rep_reference, f"det.orig.img{image}")
        # measured: 2e-5 pixels and 3e-7; both sides round
        assert box < 2e-3
        assert score < 1e-5
