"""Runs of a network on the reference's inputs, and what differs from the stored results.

The reference ran in float32. Run in float64, ours is free of rounding, so what is left is the
reference's own rounding: the bounds here hold on every processor and are as tight as the stored
numbers allow.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from tests.helpers.reference import LOSSES, Reference
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs

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
    with torch.no_grad(), recorded_maps(model) as maps:
        batch = model.preprocess_image(reference.inputs()).tensor
        model.network(batch)
    return {"input": batch, **maps}


@contextmanager
def recorded_maps(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Fill a dictionary with what the network computes within the block, detached.

    Names are the reference's, boxes are in pixels. Eval mode differs from training mode only in
    which boxes are listed.
    """
    maps: dict[str, Tensor] = {}

    def feature(name: str) -> Callable[..., None]:
        return lambda module, args, result: maps.update({name: result.detach()})

    stages = [getattr(model.backbone.bottom_up, f"res{i}") for i in (2, 3, 4, 5)]
    handles = [
        stage.register_forward_hook(feature(f"backbone.{i}")) for i, stage in enumerate(stages)
    ]
    handles.append(
        model.head.register_forward_hook(
            lambda module, args, result: maps.update(_head_maps(args[0], result))
        )
    )
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _head_maps(pyramid: list[Tensor], outputs: HeadOutputs) -> dict[str, Tensor]:
    maps: dict[str, Tensor] = {}
    for level, feature in enumerate(pyramid):
        maps[f"neck.{level}"] = feature
        maps[f"eval_out.0.l{level}"] = maps[f"train_out.0.l{level}"] = outputs.logits[level]
        side = 64 * 2**level
        maps[f"train_out.1.l{level}"] = outputs.boxes[0].maps()[level] * side
        maps[f"train_out.2.l{level}"] = maps[f"eval_out.1.l{level}"] = (
            outputs.boxes[1].maps()[level] * side
        )
    return {name: value.detach() for name, value in maps.items()}


def inference_from(
    model: nn.Module, reference: Reference, maps: dict[str, Tensor]
) -> list[Instances]:
    """Detections from float64 maps, rounded once: the reference's are of float32 outputs.

    Args:
        model: gives the post-processing.
        reference: gives the inputs.
        maps: see :func:`head_outputs`.

    Returns:
        one ``Instances`` an image, in pixels of the network's input.
    """
    levels = range(len(model.head_in_features))
    logits = [maps[f"eval_out.0.l{level}"].float() for level in levels]
    boxes = [(maps[f"eval_out.1.l{level}"] / (64 * 2**level)).float() for level in levels]
    images = model.preprocess_image(reference.inputs())
    outputs = HeadOutputs(logits=logits, boxes=[DenseBoxes(boxes)])
    return model.detections(outputs, images.image_sizes)


def difference(ours: Tensor, reference: Reference, name: str) -> float:
    """Largest difference between the stored part of a map and ours."""
    stored = reference.stored(name)
    part = ours[:, slice(*stored.channels), :: stored.stride, :: stored.stride]
    assert part.shape == stored.part.shape
    return float(np.abs(part.double().numpy() - stored.part).max())


def match_detections(ours: Instances, reference: Reference, prefix: str) -> tuple[float, float]:
    """Largest difference of boxes (pixels) and scores, each detection against its own partner.

    Nearly equal scores may swap rows, so partners are found by label and box.
    """
    stored = reference.arrays
    boxes, labels = ours.pred_boxes.tensor.double().numpy(), ours.pred_classes.numpy()
    assert len(ours) == len(stored[f"{prefix}.boxes"]) == 100
    distance = np.abs(boxes[:, None] - stored[f"{prefix}.boxes"]).max(2)
    distance[labels[:, None] != stored[f"{prefix}.labels"]] = np.inf
    partner = distance.argmin(1)
    assert sorted(partner) == list(range(100))
    scores = np.abs(ours.scores.double().numpy() - stored[f"{prefix}.scores"][partner])
    return float(distance.min(1).max()), float(scores.max())


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

    def recorded(*args: Any, **sizes: Any) -> Any:
        assignments.append(matcher(*args, **sizes))
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


def gradient_problems(
    training: Training, reference: Reference, case: str, *, rtol: float = NORM_RTOL
) -> list[str]:
    """Parameters whose gradient's norm differs, and those that are trained on one side only.

    Args:
        training: our step.
        reference: gives the stored norms.
        case: of the step.
        rtol: relative tolerance.
    """
    problems = []
    stored_norms = dict(
        zip(
            [reference.ours(name) for name in reference.gradient_names],
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
        if not abs(norm - stored) <= rtol * stored:
            problems.append(f"{name}: gradient norm {norm:.9g}, stored {stored:.9g}")
    return problems
