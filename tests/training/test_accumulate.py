"""Gradient accumulation in vfnet_d2.training.steps, and clipping with it."""

import itertools

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from tests.helpers.small_model import random_input, small_model
from vfnet_d2.training.optimizers import clip_total_norm
from vfnet_d2.training.steps import StepTrainer


@pytest.fixture(scope="module")
def detector() -> nn.Module:
    """A small VFNet in float64, whose batch norm does not depend on the batch."""
    return small_model("MODEL.RESNETS.NORM", "FixedStatsBN").double().train()


def gradients(model: nn.Module, batches: list, *, accumulate: int) -> dict[str, torch.Tensor]:
    """What one step leaves in the parameters' ``grad``; its learning rate is 0."""
    trainer = StepTrainer(
        model,
        itertools.cycle(batches),
        torch.optim.SGD(model.parameters(), lr=0.0),
        accumulate=accumulate,
    )
    with EventStorage():
        trainer.run_step()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def images(*boxes: int) -> list[dict]:
    """Images with these numbers of boxes."""
    made = [random_input(64, 96, number, seed=seed) for seed, number in enumerate(boxes)]
    return [{**item, "image": item["image"].double()} for item in made]


def test_the_gradient_is_the_mean_of_the_batches(detector: nn.Module) -> None:
    first, second = images(1, 4)
    found = gradients(detector, [[first], [second]], accumulate=2)
    alone = [gradients(detector, [[item]], accumulate=1) for item in (first, second)]
    assert len(found) > 50
    for name, value in found.items():
        expected = (alone[0][name] + alone[1][name]) / 2
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-11)


def test_twice_two_images_are_four_where_the_normalisers_agree(detector: nn.Module) -> None:
    # The same two images twice: as many positives in each half, and twice as many in all.
    # Enough of them: a normaliser below 1 counts as 1, for one image or two.
    pair = images(12, 20)
    found = gradients(detector, [pair], accumulate=2)
    joined = gradients(detector, [pair + pair], accumulate=1)
    for name, value in found.items():
        torch.testing.assert_close(value, joined[name], rtol=1e-9, atol=1e-11)


def test_batches_of_unequal_positives_weigh_alike_unlike_in_one_batch(detector: nn.Module) -> None:
    first, second = images(1, 4)
    found = gradients(detector, [[first], [second]], accumulate=2)
    joined = gradients(detector, [[first, second]], accumulate=1)
    name = "head.cls_pred.weight"
    assert not torch.allclose(found[name], joined[name], rtol=1e-2)


class Quadratic(nn.Module):
    """A loss of known gradient: w . x, so the gradient is x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """The loss of a batch."""
        return {"loss": (self.weight.float() * batch).sum()}


def test_the_loss_written_is_the_mean_of_the_batches() -> None:
    model = Quadratic()
    with torch.no_grad():
        model.weight.fill_(1.0)
    with EventStorage() as storage:
        trainer = StepTrainer(
            model,
            [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])],
            torch.optim.SGD(model.parameters(), lr=0.0),
            accumulate=2,
        )
        trainer.run_step()
        assert storage.latest()["total_loss"][0] == 6.0  # ((1 + 2) + (3 + 6)) / 2


def test_the_whole_gradient_is_clipped_and_keeps_its_direction() -> None:
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    clip_total_norm(optimizer, 2.5)
    model.weight.grad = torch.tensor([3.0, 4.0])  # norm 5, twice the limit
    optimizer.step()
    torch.testing.assert_close(model.weight.data, torch.tensor([-1.5, -2.0]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_float16_clips_what_was_unscaled(accumulate: int) -> None:
    model = Quadratic()
    # Fused: such optimizers undo the loss scale by themselves, after any clipping.
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
    clip_total_norm(optimizer, 2.5)
    batches = itertools.cycle([torch.tensor([3.0, 4.0])])
    trainer = StepTrainer(model, batches, optimizer, accumulate=accumulate, precision="float16")
    with EventStorage():
        trainer.run_step()
    torch.testing.assert_close(model.weight.data, torch.tensor([-1.5, -2.0]), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("what", "value"), [("accumulate", 0), ("norm", 0.0)])
def test_impossible_values_are_refused(what: str, value: float) -> None:
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(ValueError, match=what):
        if what == "norm":
            clip_total_norm(optimizer, value)
        else:
            StepTrainer(model, [], optimizer, accumulate=int(value))


@pytest.mark.parametrize("precision", [None, "bfloat16", "float16"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_hooks_after_the_backward_pass_see_the_true_gradient_once_a_step(
    precision: str | None, accumulate: int
) -> None:
    model = Quadratic()
    seen = []
    trainer = StepTrainer(
        model,
        itertools.cycle([torch.tensor([3.0, 4.0])]),
        torch.optim.SGD(model.parameters(), lr=1.0),
        precision=precision,
        accumulate=accumulate,
        after_backward=lambda: seen.append(model.weight.grad.tolist()),
    )
    with EventStorage():
        trainer.run_step()
    # rounding of thirds
    assert seen == [[pytest.approx(3.0, rel=1e-6), pytest.approx(4.0, rel=1e-6)]]
