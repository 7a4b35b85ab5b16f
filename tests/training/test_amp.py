"""Mixed precision in vfnet_d2.training.steps."""

import math
from typing import Any

import pytest
import torch
from detectron2.engine import SimpleTrainer
from torch import nn

from tests.helpers.small_model import random_input, small_config, small_model
from vfnet_d2.training.optimizers import build_optimizer
from vfnet_d2.training.steps import StepTrainer

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Batches:
    """A loader that gives the same batch for ever."""

    def __init__(self, batch: list[dict[str, Any]]) -> None:
        self.batch = batch

    def __iter__(self) -> Any:
        while True:
            yield self.batch


def trainer_of(model: nn.Module, batch: list[dict[str, Any]], precision: str) -> StepTrainer:
    options = ("SOLVER.OPTIMIZER", "AdamW", "SOLVER.BASE_LR", 1e-3)
    optimizer = build_optimizer(small_config(*options), model)
    return StepTrainer(model, Batches(batch), optimizer, precision=precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_three_steps_of_a_detector(precision: str) -> None:
    model = small_model()
    computed: set[torch.dtype] = set()
    tower = next(m for m in model.head.cls_tower.modules() if isinstance(m, nn.Conv2d))
    tower.register_forward_hook(lambda *args: computed.add(args[-1].dtype))
    before = tower.weight.detach().clone()
    # P7 of 64 pixels would be 1 x 1, of which oneDNN gives bfloat16 weight gradients that are not
    # finite (torch 2.14.1, CPUs with AVX-512).
    trainer = trainer_of(model, [random_input(160, 160, 2)], precision)
    trainer.train(0, 3)
    assert computed == {PRECISIONS[precision]}
    for name in ("loss_cls", "loss_bbox", "loss_bbox_refine"):
        values = [value for value, _ in trainer.storage.history(name).values()]
        assert len(values) == 3 and all(map(math.isfinite, values)), name
    assert tower.weight.dtype is torch.float32
    assert tower.weight.isfinite().all() and not tower.weight.equal(before)


class Product(nn.Module):
    """Its loss is the inner product of its weights and the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False)

    def forward(self, batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The loss of the first item."""
        return {"loss": self.layer(batch[0]["x"]).sum().float()}


def product_trainer(precision: str, value: float = 1.0, scale: float = 4.0) -> StepTrainer:
    model = Product()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    batch = [{"x": torch.tensor([[value, 2 * value]])}]
    trainer = StepTrainer(model, Batches(batch), optimizer, precision=precision)
    if trainer.grad_scaler.is_enabled():
        trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
    return trainer


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_loss_scale_leaves_the_step_as_it_is(precision: str) -> None:
    trainer = product_trainer(precision, scale=1024.0)
    before = trainer.model.layer.weight.detach().clone()
    trainer.train(0, 1)
    # The gradient of the loss is the input (1, 2); the rate is 0.5.
    torch.testing.assert_close(trainer.model.layer.weight.detach(), before - torch.tensor([0.5, 1]))


def test_a_float16_overflow_skips_the_step_and_halves_the_scale() -> None:
    # The scaled gradient is 1024 * 30000; float16 ends at 65504.
    trainer = product_trainer("float16", value=30000.0, scale=1024.0)
    nn.init.zeros_(trainer.model.layer.weight)
    trainer.train(0, 1)
    assert trainer.model.layer.weight.tolist() == [[0.0, 0.0]]
    assert trainer.grad_scaler.get_scale() == 512.0


def test_bfloat16_scales_nothing() -> None:
    assert not product_trainer("bfloat16").grad_scaler.is_enabled()


def test_the_loss_scale_survives_a_checkpoint() -> None:
    trainer = product_trainer("float16")
    trainer.train(0, 3)  # grows from 4 to 8 after the second step, and has one step to the next
    state = trainer.state_dict()
    other = product_trainer("float16", scale=1.0)
    other.load_state_dict(state)
    assert other.state_dict() == state
    assert other.grad_scaler.get_scale() == 8.0
    other.train(0, 1)
    assert other.grad_scaler.get_scale() == 16.0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_continues_a_run_in_full_precision(precision: str) -> None:
    model = Product()
    before = SimpleTrainer(model, Batches([]), torch.optim.SGD(model.parameters(), lr=0.5))
    before.iter = 7
    trainer = product_trainer(precision)
    trainer.load_state_dict(before.state_dict())
    assert trainer.iter == 7
    if precision == "float16":
        assert trainer.grad_scaler.get_scale() == 4.0


def test_float16_continues_a_run_in_bfloat16() -> None:
    trainer = product_trainer("float16")
    trainer.load_state_dict(product_trainer("bfloat16").state_dict())
    assert trainer.grad_scaler.get_scale() == 4.0


def test_unknown_precision() -> None:
    with pytest.raises(ValueError, match=r"'half'.*\['bfloat16', 'float16'\]"):
        product_trainer("half")


def test_full_precision_is_detectron2s_own_step() -> None:
    weights = []
    for kind in (SimpleTrainer, StepTrainer):
        torch.manual_seed(4)
        model = small_model()
        trainer = kind(
            model, Batches([random_input(64, 64, 2)]), torch.optim.SGD(model.parameters(), lr=0.01)
        )
        trainer.train(0, 3)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_in_full_precision_continues_one_in_float16() -> None:
    model = Product()
    trainer = StepTrainer(model, Batches([]), torch.optim.SGD(model.parameters(), lr=0.5))
    state = product_trainer("float16").state_dict()
    trainer.load_state_dict({**state, "iteration": 3})
    assert trainer.iter == 3
