"""Tests of vfnet_d2.finetune.job."""

import pickle
from pathlib import Path

import pytest

from tests.helpers.quick_model import quick_config
from vfnet_d2.config import TrainingOptions
from vfnet_d2.finetune import job as finetune_job
from vfnet_d2.finetune.data import Source, TrainingData
from vfnet_d2.finetune.job import (
    Job,
    bfloat16_is_left_out,
    check_output,
    choose_gpus,
    complete_config,
)
from vfnet_d2.finetune.recipe import Wishes, make_recipe

SOURCE = Source("a.json", "coco", "", None)
DATA = TrainingData(SOURCE, SOURCE, ("cat", "dog"), 10, [])


@pytest.mark.parametrize(("available", "chosen"), [(0, 0), (1, 1), (8, 1)])
def test_one_gpu_is_taken_if_there_is_one(
    available: int, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_job.torch.cuda, "device_count", lambda: available)
    assert choose_gpus(None) == chosen


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_as_many_gpus_as_asked_for(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_job.torch.cuda, "device_count", lambda: 2)
    assert choose_gpus(wanted) == wanted


@pytest.mark.parametrize("wanted", [3, -1])
def test_gpus_that_are_not_there(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_job.torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=f"--num-gpus {wanted}, but 2 are visible"):
        choose_gpus(wanted)


def test_another_training_is_not_written_over(tmp_path: Path) -> None:
    check_output(tmp_path, resume=False)
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    check_output(tmp_path, resume=True)
    with pytest.raises(ValueError, match="--resume, or name another"):
        check_output(tmp_path, resume=False)


@pytest.mark.parametrize(
    ("amp", "expected"),
    [(None, (False, "float16")), ("bf16", (True, "bfloat16")), ("fp16", (True, "float16"))],
)
def test_the_config_is_completed(amp: str | None, expected: tuple[bool, str]) -> None:
    cfg = quick_config()
    complete_config(cfg, DATA, output="out", num_gpus=0, amp=amp)
    amp_node = cfg.SOLVER.AMP
    assert expected == (amp_node.ENABLED, amp_node.PRECISION)
    assert (cfg.MODEL.ONE_STAGE.NUM_CLASSES, cfg.MODEL.DEVICE, cfg.OUTPUT_DIR) == (2, "cpu", "out")
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == (("vfnet_train",), ("vfnet_val",))


@pytest.mark.parametrize(
    ("num_gpus", "cores", "readers"),
    [
        (0, 8, 0),  # on the CPU the training itself reads
        (1, 8, 4),  # the config's 4
        (1, 2, 2),
        (4, 8, 4),
    ],
)
def test_images_are_read_by_as_many_processes_as_there_are_cores(
    num_gpus: int, cores: int, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_job, "available_cores", lambda: cores)
    cfg = quick_config("DATALOADER.NUM_WORKERS", "4")
    complete_config(cfg, DATA, output="out", num_gpus=num_gpus)
    assert readers == cfg.DATALOADER.NUM_WORKERS


@pytest.mark.parametrize(
    ("able", "num_gpus", "amp", "told"),
    [
        (True, 0, None, True),
        (False, 0, None, False),
        (True, 1, None, False),
        (True, 0, "bf16", False),
    ],
)
def test_bfloat16_is_proposed_to_cpus_that_multiply_it(
    able: bool, num_gpus: int, amp: str | None, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_job, "cpu_multiplies_bfloat16", lambda: able)
    cfg = quick_config()
    complete_config(cfg, DATA, output="out", num_gpus=num_gpus, amp=amp)
    assert bfloat16_is_left_out(cfg) is told


def test_a_given_number_of_readers_stays() -> None:
    cfg = quick_config("DATALOADER.NUM_WORKERS", "3")
    given = {"DATALOADER.NUM_WORKERS": 3}
    complete_config(cfg, DATA, output="out", num_gpus=0, given=given)
    assert cfg.DATALOADER.NUM_WORKERS == 3


def test_a_job_reaches_other_processes() -> None:
    cfg = quick_config()
    recipe = make_recipe(cfg, {}, Wishes(), num_images=10)
    job = Job(cfg, DATA, recipe, False, 2, "vfnet train")
    assert pickle.loads(pickle.dumps(job)) == job


def test_options_of_the_command_are_keys_of_the_config() -> None:
    cfg = quick_config()
    options = TrainingOptions(keep_best=True, patience=3)
    complete_config(cfg, DATA, output="out", num_gpus=0, options=options)
    assert (cfg.TRAINING.KEEP_BEST, cfg.TRAINING.PATIENCE, cfg.TRAINING.EMA) == (True, 3, False)


def test_a_given_key_of_the_training_stays() -> None:
    cfg = quick_config("TRAINING.EMA", "True")
    options, given = TrainingOptions(keep_best=True), {"TRAINING.EMA": True}
    complete_config(cfg, DATA, output="out", num_gpus=0, options=options, given=given)
    assert cfg.TRAINING.EMA and cfg.TRAINING.KEEP_BEST
