"""Tests of vfnet_d2.training.hooks.early_stopping, and of the history it reads."""

import json
from pathlib import Path

import pytest
from detectron2.engine import HookBase
from detectron2.engine.train_loop import TrainerBase

from vfnet_d2.training.hooks.best_model import ValidationHistory
from vfnet_d2.training.hooks.early_stopping import EarlyStopError, EarlyStopping

NAN = float("nan")


class Scripted(HookBase):
    """Validates every second iteration with the next AP of a script."""

    def __init__(self, history: ValidationHistory, script: list[float]) -> None:
        self.history = history
        self.script = iter(script)

    def after_step(self) -> None:
        """See HookBase."""
        done = self.trainer.iter + 1
        if done % 2 == 0:
            self.history.add(done, next(self.script))


class Loop(TrainerBase):
    """Detectron2's loop without a model."""

    def run_step(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("script", "iterations"),
    [
        ([10, 20, 30, 40, 50], 10),  # always better: to the end
        ([10, 20, 15, 20, 50], 8),  # the 20 again is not better
        ([NAN, 5, NAN, NAN, 50], 8),
        ([NAN, NAN, 5, 6, 7], 4),  # nothing found is no improvement either
        ([0, 0, 0, 6, 7], 6),
        ([10, 9, 8], 6),
    ],
)
def test_patience_of_two(script: list[float], iterations: int, tmp_path: Path) -> None:
    history = ValidationHistory(tmp_path / "validations.json")
    loop = Loop()
    loop.register_hooks([Scripted(history, script), EarlyStopping(history, period=2, patience=2)])
    try:
        loop.train(0, 10)
        done = loop.iter
    except EarlyStopError:
        done = loop.iter + 1
    assert done == iterations


def test_which_validations_are_the_best_so_far(tmp_path: Path) -> None:
    history = ValidationHistory(tmp_path / "validations.json")
    script = [NAN, 0.0, 3.0, 3.0, 2.0, NAN, 4.0, 1.0]
    found = [history.add(number, ap) for number, ap in enumerate(script)]
    assert found == [False, True, True, False, False, False, True, False]
    assert history.best == (6, 4.0)
    assert history.since_best == 1


def test_without_any_ap_there_is_no_best(tmp_path: Path) -> None:
    history = ValidationHistory(tmp_path / "validations.json")
    history.add(1, NAN)
    history.add(2, NAN)
    assert (history.best, history.since_best) == (None, 2)


def test_a_resumed_training_forgets_what_came_later(tmp_path: Path) -> None:
    path = tmp_path / "validations.json"
    before = ValidationHistory(path)
    for iterations, ap in [(10, 5.0), (20, NAN), (30, 7.0)]:
        before.add(iterations, ap)
    assert json.loads(path.read_text())[1] == {"iterations": 20, "ap": None}
    after = ValidationHistory(path)
    after.read(iterations=20)
    assert after.entries == [(10, 5.0), (20, None)]
    assert after.add(25, 6.0)  # 7.0 is forgotten


def test_a_new_training_has_no_history(tmp_path: Path) -> None:
    history = ValidationHistory(tmp_path / "validations.json")
    history.read(iterations=5)
    assert history.entries == []


@pytest.mark.parametrize("text", ["{", '[{"iteration": 3}]', "3"])
def test_another_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "validations.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"validations\.json is not the history"):
        ValidationHistory(path).read(iterations=5)
