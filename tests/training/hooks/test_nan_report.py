"""Tests of vfnet_d2.training.hooks.nan_report, in trainings whose loss is spoiled on purpose."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.finetuning import register_training_data, training_config
from vfnet_d2.config import TrainingOptions
from vfnet_d2.training import from_yaml
from vfnet_d2.training.hooks.nan_report import read_batches
from vfnet_d2.training.trainer import Trainer

# A schedule's first step comes before the optimizer's if the training's first step is left out.
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")

NAN = float("nan")


@pytest.fixture(scope="module", autouse=True)
def registered(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The datasets of all trainings here."""
    register_training_data(tmp_path_factory.mktemp("data"))


def trainer_of(output: Path, skip: int = 0, **changes: Any) -> Trainer:
    output.mkdir(parents=True, exist_ok=True)
    changes = {"TEST__EVAL_PERIOD": 0, "DATASETS__TEST": (), **changes}
    parts = from_yaml.components(training_config(output, **changes))
    trainer = Trainer(parts._replace(options=TrainingOptions(skip_bad_batches=skip)))
    trainer.resume_or_load(resume=False)
    return trainer


def spoil(module: nn.Module, trainer: Trainer, *iterations: int) -> None:
    """Let a module give NaN in some iterations."""

    def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
        return output * NAN if trainer.iter in iterations else None

    module.register_forward_hook(hook)


def spoil_gradient(parameter: nn.Parameter, trainer: Trainer, *iterations: int) -> None:
    parameter.register_hook(lambda grad: grad * NAN if trainer.iter in iterations else grad)


def bad_convolution(trainer: Trainer, *iterations: int) -> None:
    spoil(trainer.model.backbone.fpn_lateral4, trainer, *iterations)


def bad_gradient(trainer: Trainer, *iterations: int) -> None:
    spoil_gradient(trainer.model.head.cls_pred.weight, trainer, *iterations)


def test_the_error_says_what_a_person_needs(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    bad_convolution(trainer, 3)
    with pytest.raises(FloatingPointError) as raised:
        trainer.train()
    text = str(raised.value)
    assert text.startswith("Iteration 3: loss_")
    # 0.006 / 2 x (1 + cos(3/4 pi))
    assert "at learning rate 0.00087868" in text
    assert "loss_cls nan" in text
    assert "first layer whose output is not finite: backbone.fpn_lateral4" in text
    assert ".png" in text
    assert str(tmp_path / "not_finite" / "iteration_0000003") in text
    assert "SKIP_BAD_BATCHES" in text


def test_the_report_replays_the_step(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    bad_convolution(trainer, 3)
    with pytest.raises(FloatingPointError):
        trainer.train()
    folder = tmp_path / "not_finite" / "iteration_0000003"
    report = json.loads((folder / "report.json").read_text())
    image = report["batches"][0][0]
    assert Path(image["file_name"]).is_file() and len(image["boxes"]) == len(image["classes"]) == 1
    weights = torch.load(folder / "weights.pth", weights_only=True)["model"]
    assert all(value.isfinite().all() for value in weights.values())
    fresh = trainer_of(tmp_path / "again")
    fresh.model.load_state_dict(weights)
    bad_convolution(fresh, 0)
    losses = fresh.model(read_batches(folder)[0])
    assert not torch.isfinite(losses["loss_cls"])


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, SOLVER__CHECKPOINT_PERIOD=1)
    bad_gradient(trainer, 2)
    with pytest.raises(FloatingPointError, match=r"the gradient of head\.cls_pred\.weight is"):
        trainer.train()
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


@pytest.mark.parametrize("bad", [bad_convolution, bad_gradient])
@pytest.mark.parametrize("precision", [None, "float16"])
def test_steps_are_left_out_and_counted(
    bad: Callable[..., None],
    precision: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if precision and bad is bad_gradient:
        return  # the loss scaler leaves such steps out by itself
    changes = {"SOLVER__AMP__ENABLED": True, "SOLVER__AMP__PRECISION": precision}
    trainer = trainer_of(tmp_path, skip=2, **(changes if precision else {}))
    bad(trainer, 0, 2)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert trainer.nan_report.skipped == 2
    told = [record.getMessage() for record in caplog.records if "Left out" in record.getMessage()]
    assert told[0].startswith("Left out step 1 of at most 2: Iteration 0: ")
    assert told[1].startswith("Left out step 2 of at most 2: Iteration 2: ")
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert all(value.isfinite().all() for value in saved["model"].values())
    assert saved["trainer"]["hooks"]["NanReport"] == {"skipped": 2}


def test_one_step_too_many_ends_the_training(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, skip=1)
    bad_convolution(trainer, 0, 1)
    with pytest.raises(FloatingPointError, match=r"Iteration 1: .* 1 steps before it were left"):
        trainer.train()


def test_a_step_that_is_left_out_changes_nothing(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, skip=4)
    bad_convolution(trainer, 0, 1, 2, 3)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []


def test_a_process_names_the_one_that_knows_more(tmp_path: Path) -> None:
    from vfnet_d2.training.steps import FailedStep

    trainer = trainer_of(tmp_path)
    trainer.nan_report.before_step()
    with pytest.raises(FloatingPointError, match="loss_cls is not finite in process 3, whose"):
        trainer.nan_report.act(FailedStep([], [], "", {3: "loss_cls is not finite"}))


def test_a_negative_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"SKIP_BAD_BATCHES .*is -1; it must be 0 or more"):
        trainer_of(tmp_path, skip=-1)


def test_an_error_without_a_message_stays_what_it_is(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)

    def fail(module: nn.Module, inputs: Any) -> None:
        raise AssertionError

    trainer.model.backbone.register_forward_pre_hook(fail)
    with pytest.raises(AssertionError):
        trainer.train()
