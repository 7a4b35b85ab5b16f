"""Tests of vfnet_d2.training.hooks.sampler_state; whole trainings are in tests/test_faults.py."""

import logging
import random
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.engine.train_loop import TrainerBase

from vfnet_d2.training.hooks.sampler_state import SamplerState
from vfnet_d2.training.loading.loader import TrainingLoader, build_training_loader


def loader() -> TrainingLoader:
    dicts = [{"file_name": f"{n}.png", "width": 2, "height": 1} for n in range(5)]
    return build_training_loader(dicts, mapper=lambda item: item, total_batch_size=2)


class Drawing(TrainerBase):
    """Draws a number from each generator in a step, and some between steps."""

    def __init__(self, hook: SamplerState) -> None:
        super().__init__()
        self.drawn: list[list[float]] = []
        self.register_hooks([hook])

    def run_step(self) -> None:
        """See TrainerBase."""
        self.drawn.append([random.random(), float(np.random.rand()), float(torch.rand(()))])

    def after_step(self) -> None:
        """Draw as an evaluation would."""
        super().after_step()
        self.drawn[-1].append(0.0)
        torch.rand(17), np.random.rand(17), random.random()


def state_of(trainer: Drawing) -> dict[str, Any]:
    return trainer.state_dict()


def test_a_resumed_training_draws_the_numbers_of_the_uninterrupted_one() -> None:
    whole = Drawing(SamplerState(loader()))
    whole.train(0, 6)
    resumed = Drawing(SamplerState(loader()))
    resumed.load_state_dict(state_of(whole))
    resumed.train(2, 6)
    assert resumed.drawn == whole.drawn[2:]
    assert len({tuple(numbers) for numbers in whole.drawn}) == 6


def test_the_loader_goes_on_where_it_was() -> None:
    before, after = loader(), loader()
    before.batches = 3
    hook = SamplerState(after)
    hook.load_state_dict(SamplerState(before).state_dict())
    assert (after.seed, after.batches) == (before.seed, 3)


def test_a_checkpoint_without_order_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Drawing(SamplerState(loader())).train(0, 1)
        assert not caplog.records
        Drawing(SamplerState(loader())).train(2, 3)
    assert "the order starts anew" in caplog.text


def test_another_loader_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Drawing(SamplerState([1, 2])).train(0, 1)
    assert "a resumed training draws its images in a new order" in caplog.text
