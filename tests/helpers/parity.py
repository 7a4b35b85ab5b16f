"""Runs of a network on the reference's inputs, and what differs from the stored results.

The reference ran in float32. Run in float64, ours is free of rounding, so what is left is the
reference's own rounding: the bounds here hold on every processor and are as tight as the stored
numbers allow.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.helpers.reference import LOSSES, Reference
from vfnet_d2.checkpoint.mmdet_keys import from_mmdet

# Relative; measured with the right network: 2.1e-7 and 5.9e-5.
LOSS_RTOL = 1e-6
NORM_RTOL = 1e-4


class Training(NamedTuple):
    """What one training step on a case gave."""

    losses: dict[str, float]
    gradients: dict[str, Tensor | None]  # of every trainable parameter
    assignment: Any


def head_outputs(model: nn.Module, reference: Reference) -> dict[str, Tensor]:
    """Feature maps and head outputs on the reference's batch, under the reference's names.

    Boxes are in pixels. Eval mode differs from training mode only in which boxes are listed.
    """
    maps: dict[str, Tensor] = {}
    stages = [getattr(model.backbone.bottom_up, f"res{i}") for i in (2, 3, 4, 5)]
    handles = [
        stage.register_forward_hook(
            lambda module, args, result, name=f"backbone.{i}": maps.__setitem__(name, result)
        )
        for i, stage in enumerate(stages)
    ]
    with torch.no_grad():
        batch = model.preprocess_image(reference.inputs()).tensor
        maps["input"] = batch
        features = model.backbone(batch)
        pyramid = [features[name] for name in model.head_in_features]
        outputs = model.head(pyramid)
    for handle in handles:
        handle.remove()
    for level, feature in enumerate(pyramid):
        maps[f"neck.{level}"] = feature
        maps[f"eval_out.0.l{level}"] = maps[f"train_out.0.l{level}"] = outputs.logits[level]
        side = 64 * 2**level
        maps[f"train_out.1.l{level}"] = outputs.boxes[0][level] * side
        maps[f"train_out.2.l{level}"] = maps[f"eval_out.1.l{level}"] = (
            outputs.boxes[1][level] * side
        )
    return maps


def train_step(
    model: nn.Module, reference: Reference, case: str, *, backward: bool = True
) -> Training:
    """Losses, gradients and assignment of one training step; leaves no gradient behind.

    Args:
        model: the network, put into training mode.
        reference: gives the inputs.
        case: gives the ground truth.
        backward: compute the gradients, which takes most of the time.
    """
    assignments = []
    matcher = model.matcher

    def recorded(*args: Any) -> Any:
        assignments.append(matcher(*args))
        return assignments[-1]

    model.train()
    model.zero_grad(set_to_none=True)
    model.matcher = recorded
    try:
        with torch.set_grad_enabled(backward):
            losses = model(reference.inputs(case))
    finally:
        model.matcher = matcher
    if backward:
        sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad(set_to_none=True)
    return Training({k: v.item() for k, v in losses.items()}, gradients, assignments[0])


def loss_problems(training: Training, reference: Reference, case: str) -> list[str]:
    """Losses that differ from the stored ones."""
    problems = []
    for ours, theirs in LOSSES.items():
        value, stored = training.losses[ours], float(reference.arrays[f"loss.{case}.{theirs}"][0])
        if abs(value - stored) > LOSS_RTOL * abs(stored):
            problems.append(f"{ours}: {value:.9g}, stored {stored:.9g}")
    return problems


def gradient_problems(training: Training, reference: Reference, case: str) -> list[str]:
    """Parameters whose gradient's norm differs, and those that are trained on one side only."""
    problems = []
    stored_norms = dict(
        zip(
            [from_mmdet(name) for name in reference.gradient_names],
            reference.arrays[f"grad.{case}.norms"].tolist(),
            strict=True,
        )
    )
    for name in sorted(stored_norms.keys() ^ training.gradients.keys()):
        problems.append(f"{name}: trainable on one side only")
    for name in stored_norms.keys() & training.gradients.keys():
        gradient, stored = training.gradients[name], stored_norms[name]
        if gradient is None:
            problems.append(f"{name}: no gradient, stored norm {stored:.9g}")
            continue
        norm = gradient.double().norm().item()
        if not abs(norm - stored) <= NORM_RTOL * stored:
            problems.append(f"{name}: gradient norm {norm:.9g}, stored {stored:.9g}")
    return problems
