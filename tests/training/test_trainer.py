"""Tests of vfnet_d2.training.trainer, with components of a YAML config and of a fine-tuning."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.engine import HookBase
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.coco_data import CLASSES
from tests.helpers.finetuning import register_training_data, training_config
from tests.helpers.log_lines import log_lines
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.config import TrainingOptions
from vfnet_d2.finetune import job
from vfnet_d2.training import components as components_module
from vfnet_d2.training import from_yaml
from vfnet_d2.training.trainer import Trainer


@pytest.fixture(scope="module", autouse=True)
def registered(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The datasets of all trainings here."""
    register_training_data(tmp_path_factory.mktemp("data"))


# P7 of 96 pixels is 1 x 1, of which oneDNN gives bfloat16 weight gradients that are not finite
# (torch 2.14.1, CPUs with AVX-512).
LARGER = {"INPUT__MIN_SIZE_TRAIN": (160,)}
# What `vfnet train` always asks for.
USUAL = TrainingOptions(keep_best=True, pictures=True)


def tuner(output: Path, options: TrainingOptions = USUAL, **changes: Any) -> Trainer:
    output.mkdir(parents=True, exist_ok=True)
    seed_all_rng(5)
    parts = job.components(training_config(output, **changes))
    return Trainer(parts._replace(options=options))


def read(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


class Losses(HookBase):
    """Collects the loss of each iteration."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def after_step(self) -> None:
        """See HookBase."""
        self.found.append(self.trainer.storage.latest()["total_loss"][0])


class Weights(HookBase):
    """Collects the classifier of each iteration."""

    def __init__(self) -> None:
        self.found: list[torch.Tensor] = []

    def after_step(self) -> None:
        """See HookBase."""
        self.found.append(self.trainer.model.head.cls_pred.weight.detach().clone())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """Output folder and losses of a training with the usual options."""
    output = tmp_path_factory.mktemp("finished")
    trainer, losses = tuner(output), Losses()
    trainer.register_hooks([losses])
    trainer.resume_or_load(resume=False)
    trainer.train()
    return output, losses.found


def test_without_these_options_the_losses_are_the_same(
    finished: tuple[Path, list[float]], tmp_path: Path
) -> None:
    seed_all_rng(5)
    trainer = Trainer(from_yaml.components(training_config(tmp_path)))
    losses = Losses()
    trainer.register_hooks([losses])
    trainer.resume_or_load(resume=False)
    trainer.train()
    assert len(losses.found) == 4
    assert losses.found == finished[1]


def test_checkpoints_tell_classes_and_config(finished: tuple[Path, list[float]]) -> None:
    entry = read(finished[0] / "model_final.pth")[ENTRY]
    assert entry["class_names"] == list(CLASSES)
    assert "MIN_SIZE_TEST: 96" in entry["config"]


def test_a_picture_shows_the_first_batch(finished: tuple[Path, list[float]]) -> None:
    with Image.open(finished[0] / "train_batch.png") as picture:
        # Two images of 96 pixels, twice as large, with a margin between them.
        assert picture.size == (2 * 2 * 96 + 6, 2 * 96)


def test_tensorboard_has_scalars_and_validation_pictures(
    finished: tuple[Path, list[float]],
) -> None:
    events = EventAccumulator(str(finished[0]))
    events.Reload()
    assert "total_loss" in events.Tags()["scalars"]
    assert sorted(events.Tags()["images"]) == [f"validation/{number}" for number in range(3)]
    # After two and after four iterations.
    assert len(events.Images("validation/0")) == 2


def test_validations_are_written_down(finished: tuple[Path, list[float]]) -> None:
    entries = json.loads((finished[0] / "validations.json").read_text())
    assert [entry["iterations"] for entry in entries] == [2, 4]


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """Models of the validations, whose APs are 10, 30, 20, 25 and 40."""
    models: list[torch.nn.Module] = []
    script = iter([10.0, 30.0, 20.0, 25.0, 40.0])

    def evaluate(model: torch.nn.Module, *arguments: Any) -> dict[str, Any]:
        models.append(model)
        return {"AP": next(script)}

    monkeypatch.setattr(
        components_module,
        "inference_on_dataset",
        lambda model, *arguments: {"bbox": evaluate(model)},
    )
    return models


def test_a_validation_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aps = iter([12.345, 12.3, math.nan, 20.0])

    def evaluate(*arguments: Any) -> dict[str, Any]:
        print("pycocotools prints its table and how long it took")
        return {"bbox": {"AP": next(aps)}}

    monkeypatch.setattr(components_module, "inference_on_dataset", evaluate)
    trainer = tuner(tmp_path, TEST__EVAL_PERIOD=1)
    trainer.resume_or_load(resume=False)
    with log_lines("vfnet_d2.training.hooks.best_model", level=logging.INFO) as lines:
        trainer.train()
    assert [line for line in lines if "Validation" in line] == [
        "INFO Validation after iteration 1: AP 12.35, the best so far",
        "INFO Validation after iteration 2: AP 12.30",
        "INFO Validation after iteration 3: no AP, since nothing was detected",
        "INFO Validation after iteration 4: AP 20.00, the best so far",
    ]
    assert "pycocotools" not in capsys.readouterr().out


def test_patience_ends_the_training_and_the_best_weights_stay(
    validated: list, tmp_path: Path
) -> None:
    changes = {"SOLVER__MAX_ITER": 9, "TEST__EVAL_PERIOD": 1, "SOLVER__CHECKPOINT_PERIOD": 1}
    trainer, weights = tuner(tmp_path, USUAL._replace(patience=2), **changes), Weights()
    trainer.register_hooks([weights])
    trainer.train()
    # APs 10, 30, 20, 25: the second is best, and the two after it are not better.
    assert len(validated) == 4
    best, final = read(tmp_path / "model_best.pth"), read(tmp_path / "model_final.pth")
    assert (best["iteration"], final["iteration"]) == (1, 3)
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    weight = "head.cls_pred.weight"
    assert torch.equal(best["model"][weight], weights.found[1])
    assert not torch.equal(best["model"][weight], final["model"][weight])
    assert best[ENTRY]["class_names"] == list(CLASSES)
    assert "trainer" not in best


def test_the_average_is_validated_and_saved(validated: list, tmp_path: Path) -> None:
    trainer = tuner(tmp_path, USUAL._replace(ema=True))
    trainer.train()
    assert trainer.ema is not None
    assert all(model is trainer.ema.module for model in validated)
    assert trainer.ema.n_averaged == 4
    average = dict(trainer.ema.module.state_dict())
    name = "head.cls_pred.weight"
    final, averaged = (read(tmp_path / f"model_final{x}.pth")["model"] for x in ("", "_ema"))
    assert torch.equal(averaged[name], average[name])
    assert not torch.equal(final[name], average[name])


def test_resuming_goes_on_where_it_ended(validated: list, tmp_path: Path) -> None:
    options = USUAL._replace(ema=True)
    tuner(tmp_path, options, SOLVER__MAX_ITER=2).train()
    trainer = tuner(tmp_path, options)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2
    saved = read(tmp_path / "model_final.pth")
    model = trainer.model.state_dict()
    assert all(torch.equal(model[name], value) for name, value in saved["model"].items())
    trainer.train()
    assert trainer.ema is not None
    assert trainer.ema.n_averaged == 4
    assert trainer.history.entries == [(2, 10.0), (4, 30.0)]


def test_checkpoints_without_metadata_and_average_can_be_resumed(
    validated: list, tmp_path: Path
) -> None:
    tuner(tmp_path, SOLVER__MAX_ITER=2).train()
    path = tmp_path / "model_final.pth"
    old = read(path)
    del old[ENTRY]
    torch.save(old, path)
    trainer = tuner(tmp_path, USUAL._replace(ema=True))
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2
    assert trainer.ema is not None
    averaged = trainer.ema.module.state_dict()
    assert all(torch.equal(averaged[name], value) for name, value in old["model"].items())


@pytest.mark.parametrize("amp", [False, True])
def test_accumulation_takes_as_many_batches_a_step(amp: bool, tmp_path: Path) -> None:
    options = USUAL._replace(accumulate=3, clip_total_norm=0.01)
    changes = {"SOLVER__AMP__ENABLED": amp, "SOLVER__AMP__PRECISION": "bfloat16", **LARGER}
    trainer = tuner(tmp_path, options, **changes)
    sizes: list[int] = []
    trainer.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    with EventStorage():
        trainer.run_step()
    assert sizes == [2, 2, 2]
    parameters = list(trainer.model.parameters())
    norms = [parameter.grad.norm() for parameter in parameters if parameter.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(0.01, rel=1e-3)
    assert not all(map(torch.equal, before, parameters))


class Backward(HookBase):
    """Counts the calls that Detectron2 main makes after each backward pass."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def after_backward(self) -> None:
        """Note the norm of a gradient."""
        self.norms.append(float(self.trainer.model.head.cls_pred.weight.grad.norm()))


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}])
@pytest.mark.parametrize("amp", [False, True])
def test_hooks_are_called_after_each_backward_pass(
    options: dict[str, int], amp: bool, validated: list, tmp_path: Path
) -> None:
    changes = {"SOLVER__AMP__ENABLED": amp, "SOLVER__AMP__PRECISION": "bfloat16", **LARGER}
    trainer, hook = tuner(tmp_path, TrainingOptions(**options), **changes), Backward()
    trainer.register_hooks([hook])
    trainer.train()
    assert len(hook.norms) == 4 and all(norm > 0 for norm in hook.norms)


def test_with_default_options_nothing_but_detectron2s_files_is_written(
    validated: list, tmp_path: Path
) -> None:
    trainer = tuner(tmp_path, TrainingOptions())
    trainer.train()
    ours = {"model_best.pth", "validations.json", "train_batch.png", "model_final_ema.pth"}
    assert not ours & {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"patience": -1}, {}, r"TRAINING\.PATIENCE .*is -1; it must be 0 or more"),
        ({"ema": True, "ema_decay": 1.0}, {}, r"TRAINING\.EMA_DECAY .*is 1\.0; .*between 0 and 1"),
        ({"keep_best": True}, {"DATASETS__TEST": ()}, r"TRAINING\.KEEP_BEST .*needs a test set"),
        ({"patience": 2}, {"TEST__EVAL_PERIOD": 0}, r"TRAINING\.PATIENCE .*TEST\.EVAL_PERIOD"),
        ({"trackers": ("nobody",)}, {}, "nobody"),
        ({"accumulate": 0}, {}, "accumulate is 0"),
    ],
)
def test_options_without_effect_or_sense_are_refused(
    options: dict[str, Any], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    parts = from_yaml.components(training_config(tmp_path, **changes))
    with pytest.raises(ValueError, match=message):
        Trainer(parts._replace(options=TrainingOptions(**options)))


def moments(trainer: Trainer) -> dict[int, torch.Tensor]:
    """Adam's first moments."""
    state = trainer._trainer.optimizer.state_dict()["state"]
    return {index: entry["exp_avg"] for index, entry in state.items()}


def test_the_optimizer_s_state_is_resumed(validated: list, tmp_path: Path) -> None:
    first = tuner(tmp_path, SOLVER__MAX_ITER=2)
    first.train()
    second = tuner(tmp_path)
    second.resume_or_load(resume=True)
    expected = moments(first)
    assert len(expected) > 50
    assert all(torch.equal(value, expected[index]) for index, value in moments(second).items())


def test_a_lazy_training_of_version_0_1_0_is_resumed(validated: list, tmp_path: Path) -> None:
    tuner(tmp_path, SOLVER__MAX_ITER=2).train()
    path = tmp_path / "model_final.pth"
    old = read(path)
    # Their trainer was Detectron2's SimpleTrainer itself, not one within another.
    old["trainer"] |= old["trainer"].pop("_trainer")
    torch.save(old, path)
    trainer = tuner(tmp_path)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2
    assert len(moments(trainer)) == len(old["trainer"]["optimizer"]["state"]) > 50


def test_a_checkpoint_without_the_optimizer_s_state_is_resumed_with_a_word(
    validated: list, tmp_path: Path
) -> None:
    tuner(tmp_path, SOLVER__MAX_ITER=2).train()
    path = tmp_path / "model_final.pth"
    old = read(path)
    del old["trainer"]["_trainer"]
    torch.save(old, path)
    trainer = tuner(tmp_path)
    with log_lines("vfnet_d2.training.trainer") as lines:
        trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2 and moments(trainer) == {}
    assert any(line.startswith("WARNING") and "no state of the optimizer" in line for line in lines)
    trainer.train()


def test_keys_of_the_yaml_config_are_the_options(tmp_path: Path) -> None:
    changes = {"TRAINING__EMA": True, "TRAINING__ACCUMULATE": 2, "TRAINING__CLIP_TOTAL_NORM": 3.0}
    parts = from_yaml.components(training_config(tmp_path, **changes))
    assert parts.options == TrainingOptions(ema=True, accumulate=2, clip_total_norm=3.0)


def test_a_finished_training_says_so_and_writes_nothing(validated: list, tmp_path: Path) -> None:
    tuner(tmp_path).train()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    trainer = tuner(tmp_path, SOLVER__MAX_ITER=3)
    trainer.resume_or_load(resume=True)
    with log_lines("vfnet_d2.training.trainer") as lines:
        trainer.train()
    assert [line for line in lines if "Nothing to do: 4 of 3 iterations are done" in line]
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    # Detectron2's TensorBoard writer opens its file when it is made.
    assert {name for name in after if before.get(name) != after[name]} <= {"metrics.json"} | {
        name for name in after if name.startswith("events.out")
    }


@pytest.mark.parametrize("warmup", [0, 1])
@pytest.mark.parametrize("changed", [False, True])
def test_a_resumed_training_follows_the_config_s_learning_rate(
    changed: bool, warmup: int, validated: list, tmp_path: Path
) -> None:
    options = {"SOLVER__LR_SCHEDULER_NAME": "WarmupMultiStepLR", "SOLVER__STEPS": (3,)}
    options |= {"SOLVER__WARMUP_ITERS": warmup}
    tuner(tmp_path, SOLVER__MAX_ITER=2, SOLVER__BASE_LR=0.004, **options).train()
    trainer = tuner(tmp_path, SOLVER__BASE_LR=0.001 if changed else 0.004, **options)
    with log_lines("vfnet_d2.training.trainer", level=logging.INFO) as lines:
        trainer.resume_or_load(resume=True)
    (line,) = [line for line in lines if "Resuming" in line]
    assert "2 of 4 iterations are done" in line
    wanted = "0.001 from here on, as the config says; it was 0.004" if changed else "still 0.004"
    assert wanted in line
    rates: list[float] = []
    hook = Rates(rates)
    trainer.register_hooks([hook])
    trainer.train()
    # iterations 2 and 3; the rate falls to a tenth after the third
    first = 0.001 if changed else 0.004
    assert rates == pytest.approx([first, 0.1 * first])


class Rates(HookBase):
    """Collects the learning rate that each step uses."""

    def __init__(self, found: list[float]) -> None:
        self.found = found

    def before_step(self) -> None:
        """See HookBase."""
        self.found.append(self.trainer.optimizer.param_groups[0]["lr"])
