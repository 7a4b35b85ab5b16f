"""YOLOF against the reference implementation.

The network is built from its YAML config for training, in float64, and from its LazyConfig twin for
an inference in float32; it is filled through the checkpoint converter's key table. The reference
ran in float32, so what is left is its own rounding.
"""

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from tests.helpers.parity import (
    LOSS_RTOL,
    Training,
    difference,
    gradient_problems,
    match_detections,
    train_step,
)
from tests.helpers.reference import CASES, Reference, build_reference_model
from tests.helpers.tower_reference import TowerReference
from vfnet_d2.losses.varifocal import VarifocalLoss
from vfnet_d2.modeling.dense.structures import HeadOutputs

pytestmark = pytest.mark.slow

CONFIG = "yolof/yolof_R_50_C5_1x"
FILE = "yolof_r50_c5"
# Where an activation is 0 up to rounding, the reference's float32 run and ours in float64 fall on
# two sides of the ReLU, which the gradients before it feel: norms differ by up to 1.05e-3. Ours
# in float32 differ by 3.4e-4 from the stored ones.
FLIPPED_RTOL = 2e-3
# A batch norm follows these, so that their gradients are rounding and nothing else.
CANCELLED = {"backbone.lateral.bias", "backbone.output.bias"}


class BGRReference(TowerReference):
    """The stored results; its network sees BGR."""

    def inputs(self, case: str | None = None) -> list[dict[str, Any]]:
        """Both images as a data loader gives them, with the ground truth of a case."""
        inputs = super().inputs(case)
        for item in inputs:
            item["image"] = item["image"].flip(0)
        return inputs


class Run(NamedTuple):
    """A training step on a case, in float64, and the network after it."""

    reference: Reference
    model: nn.Module
    training: Training


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest) -> Iterator[tuple[str, Run]]:
    reference = BGRReference(FILE)
    model = build_reference_model(reference, CONFIG).double()
    yield request.param, Run(reference, model, train_step(model, reference, request.param))


@pytest.fixture(scope="module")
def lazy_model() -> nn.Module:
    """The LazyConfig's model in float32; leave it as it is."""
    return build_reference_model(BGRReference(FILE), CONFIG, suffix=".py").eval()


def test_number_of_parameters(lazy_model: nn.Module) -> None:
    # Detectron2 turns the parameters of frozen norms into buffers, so count by what is not one.
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    state = lazy_model.state_dict()
    count = sum(value.numel() for name, value in state.items() if not name.endswith(statistics))
    assert count == BGRReference(FILE).meta["n_params"] == 44_159_977


def test_losses(run: tuple[str, Run]) -> None:
    case, (reference, _, training) = run
    assert training.losses.keys() == {"loss_cls", "loss_bbox"}
    for name, value in training.losses.items():
        stored = float(reference.arrays[f"loss.{case}.{name}"][0])
        assert value == pytest.approx(stored, rel=LOSS_RTOL)


def test_gradients(run: tuple[str, Run]) -> None:
    case, (reference, _, training) = run
    problems = gradient_problems(training, reference, case, rtol=FLIPPED_RTOL)
    named = [p for p in problems if p.partition(":")[0] not in CANCELLED]
    # Without a pair, the reference's boxes have no gradient where ours have one of 0.
    boxes = {"head.box_pred.weight", "head.box_pred.bias"} if case == "C" else set()
    assert {p.partition(":")[0] for p in named} == boxes, named
    for name in boxes:
        assert training.gradients[name] is not None and not training.gradients[name].any()


def test_gradients_keep_their_signs_and_order(run: tuple[str, Run]) -> None:
    """The stored projections of the gradients on fixed noise."""
    case, (reference, _, training) = run
    if case != "A":
        return  # stored for this case alone
    for name, stored, norm in zip(
        reference.gradient_names,
        reference.arrays["grad.A.proj"],
        reference.arrays["grad.A.norms"],
        strict=True,
    ):
        if reference.ours(name) in CANCELLED:
            continue
        gradient = training.gradients[reference.ours(name)]
        random = np.random.RandomState(zlib.crc32(f"proj:{name}".encode()))
        noise = random.standard_normal(gradient.shape)
        # What is flipped is nearly orthogonal to the rest: it changes the norm in second order, and
        # a projection in first order. Another sign or order would change it by its size.
        found = float((gradient.numpy() * noise).sum())
        assert found == pytest.approx(float(stored), abs=5 * FLIPPED_RTOL * float(norm)), name


def test_labels(run: tuple[str, Run]) -> None:
    case, (reference, _, training) = run
    for image, labels in enumerate(training.assignment.labels):
        stored = torch.from_numpy(reference.arrays[f"assign.{case}.img{image}.gt_inds"]).long()
        assert torch.equal(labels.long(), stored.clamp(min=-1, max=1))


def test_pairs_in_order(run: tuple[str, Run]) -> None:
    case, (reference, _, training) = run
    found = training.assignment
    for image in range(2):
        key = f"assign.{case}.img{image}.topk_"
        mine = found.image == image
        if f"{key}idx" not in reference.arrays:
            assert not mine.any()
            continue
        index, used = reference.arrays[f"{key}idx"], reference.arrays[f"{key}used"]
        gts = np.broadcast_to(np.arange(index.shape[2]), index.shape)
        assert found.anchor[mine].tolist() == index[used].tolist()
        assert found.gt[mine].tolist() == gts[used].tolist()


def test_batch_statistics_after_a_step() -> None:
    reference = BGRReference(FILE)
    model = build_reference_model(reference, CONFIG).double()
    train_step(model, reference, "A", backward=False)
    names = [n for n in reference.arrays if n.startswith("running_mean_after_A.")]
    assert len(names) == 3
    for name in names:
        ours = model.state_dict()[reference.ours(name.partition(".")[2])].numpy()
        # float32 means of a batch of values around 1
        np.testing.assert_allclose(ours, reference.arrays[name], atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def inference(lazy_model: nn.Module) -> tuple[HeadOutputs, list[Instances]]:
    inputs = BGRReference(FILE).inputs()
    with torch.no_grad():
        images = lazy_model.preprocess_image(inputs)
        outputs = lazy_model.network(images.tensor)
        return outputs, [result["instances"] for result in lazy_model.inference(inputs)]


def test_network_outputs(inference: tuple[HeadOutputs, list[Instances]]) -> None:
    reference = BGRReference(FILE)
    outputs: list[Tensor] = [inference[0].logits[0], inference[0].boxes[0].maps()[0]]
    for kind, ours in enumerate(outputs):
        name = f"eval_out.{kind}.l0"
        # Two float32 networks, each as far from the float64 one as the reference says of its own.
        assert difference(ours, reference, name) <= 4 * reference.noise(name)


def test_detections(inference: tuple[HeadOutputs, list[Instances]]) -> None:
    for image, found in enumerate(inference[1]):
        boxes, scores = match_detections(found, BGRReference(FILE), f"det.orig.img{image}")
        assert boxes < 0.05 and scores < 5e-4


def test_iou_targets_are_of_the_last_pair(run: tuple[str, Run]) -> None:
    """With VFL each positive anchor has one target: the IoU with the object of its last pair."""
    case, (reference, model, _) = run
    model.cls_loss, plain = _Recorder(), model.cls_loss
    try:
        training = train_step(model, reference, case, backward=False)
        targets = model.cls_loss.targets
    finally:
        model.cls_loss = plain
    labels = training.assignment.labels
    positive = (targets > 0).nonzero()
    assert len(positive) <= (labels == 1).sum()
    assert len(positive.unique(dim=0)) == len(positive) == len(positive[:, 0].unique())
    assert targets.max() <= 1
    if case == "A":
        assert len(positive) > 20 and len(training.assignment.gt) > len(positive)


class _Recorder(VarifocalLoss):
    """A loss that remembers its targets."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.targets = targets
        return super().forward(logits, targets)
