"""Tests of vfnet_d2.cli.train: one training as a user starts it, and every mistake in one line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.helpers.coco_data import CLASSES
from tests.helpers.finetuning import SIZE, write_small_dataset
from tests.helpers.quick_model import quick_model
from tests.helpers.reference import ROOT
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.checkpoint.trained import trained_metadata
from vfnet_d2.cli.main import main
from vfnet_d2.finetune import job as finetune_job

MODEL = ["--model", "quick/vfnet_shapes"]
SMALL = ["--opts", "INPUT.MIN_SIZE_TRAIN", f"({SIZE},)", "INPUT.MIN_SIZE_TEST", str(SIZE)]


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the command, since a training sets up the logs of its process."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "vfnet_d2", "train", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@contextmanager
def in_process(folder: Path) -> Iterator[None]:
    """Let ``main`` train here: in the folder, and without changing this process's logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(finetune_job, "log_setup", lambda *args, **options: None)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a training that was resumed once, and what its start printed."""
    folder = tmp_path_factory.mktemp("train")
    write_small_dataset(folder / "data", images=20)
    model = quick_model()
    metadata = trained_metadata(model, class_names=["p", "q", "r", "s", "t"])
    content = {"model": model.state_dict(), ENTRY: metadata.as_dict()}
    torch.save(content, folder / "start.pth")
    command = ["data", *MODEL, "--weights", "start.pth", "--batch-size", "6", "--ema"]
    done = start(folder, *command, "--epochs", "1", "--num-gpus", "0", *SMALL)
    assert done.returncode == 0, done.stderr[-2000:]
    with in_process(folder):
        more = ["--epochs", "2", "--resume", "--num-gpus", "0"]
        assert main(["train", *command, *more, *SMALL]) == 0
    return folder / "output" / "train", done.stdout


def test_everything_is_written(trained: tuple[Path, str]) -> None:
    names = {path.name for path in trained[0].iterdir()}
    assert names >= {
        "config.yaml",
        "held_out",
        "last_checkpoint",
        "log.txt",
        "metrics.json",
        "model_final.pth",
        "model_final_ema.pth",
        "train_batch.png",
        "validations.json",
    }
    assert any(name.startswith("events") for name in names)


def test_the_log_tells_data_classifier_and_rules(trained: tuple[Path, str]) -> None:
    text = trained[1]
    assert "2 of 20 images, held out by lot (1 in 10, seed 0)" in text
    assert "the file's classes are p, q, r, s and 1 more, and the data's circle" in text
    # 18 images are left: 1 x 18 / 6 = 3 iterations.
    assert re.search(r"iterations +3  1 epoch x 18 images / 6", text)
    assert re.search(r"learning rate +0\.0\d+  0\.0\d+ x sqrt\(6/8\)", text)


def test_resuming_went_on(trained: tuple[Path, str]) -> None:
    final = torch.load(trained[0] / "model_final.pth", weights_only=True)
    assert final["iteration"] == 5
    assert final[ENTRY]["class_names"] == list(CLASSES)
    entries = json.loads((trained[0] / "validations.json").read_text())
    assert [entry["iterations"] for entry in entries] == [3, 6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, one without objects, and weights of another project."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_small_dataset(folder / "data", images=20)
    write_small_dataset(folder / "nothing", images=0)
    (folder / "letters").mkdir()
    (folder / "letters" / "a.txt").write_text("dear")
    torch.save({"model": {"layer.weight": torch.zeros(1)}}, folder / "other.pth")
    (folder / "busy").mkdir()
    (folder / "busy" / "last_checkpoint").write_text("model_final.pth")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", *MODEL], "nowhere does not exist"),
        (["letters", *MODEL], "letters does not look like a dataset"),
        (["nothing", *MODEL], "`vfnet data check`"),
        (["data"], "name a checkpoint with --weights"),
        (["data", "--weights", "other.pth"], "other.pth does not say which config"),
        (["data", *MODEL, "--weights", "no.pth"], "no.pth does not exist"),
        (["data", *MODEL, "--num-gpus", "99"], "--num-gpus 99, but"),
        (["data", *MODEL, "--batch-size", "0"], "--batch-size 0 must be above 0"),
        (["data", *MODEL, "--accumulate", "0"], "--accumulate 0 must be above 0"),
        (["data", *MODEL, "--clip-norm", "-1"], "--clip-norm -1.0 must be above 0"),
        (["data", *MODEL, "--patience", "0"], "--patience 0 must be above 0"),
        (["data", *MODEL, "--loggers", "comet"], "--loggers comet: unknown"),
        (["data", *MODEL, "--output", "busy"], "busy holds a training already"),
        (["data", *MODEL, "--opts", "SOLVER.X", "1"], "--opts SOLVER.X 1"),
    ],
)
def test_mistakes(
    folder: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(["train", *arguments]) == 2
    captured = capsys.readouterr().err
    assert words in captured
    assert captured.splitlines()[0].startswith("vfnet: error: ")


def test_weights_of_another_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with in_process(folder):
        command = ["train", "data", *MODEL, "--weights", "other.pth", "--output", "refused"]
        assert main([*command, "--num-gpus", "0"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vfnet: error: the checkpoint fits no parameter of VFNet")


def test_a_failed_training_has_another_status(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverge(job: finetune_job.Job) -> None:
        raise FloatingPointError("Loss became infinite")

    monkeypatch.setattr(finetune_job, "run_job", diverge)
    monkeypatch.chdir(folder)
    assert main(["train", "data", *MODEL]) == 1
    assert "Loss became infinite. Try a lower --lr" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main(["train", "--help"])
    assert leave.value.code == 0
    text = capsys.readouterr().out
    words = "--val --weights --config-file --model --output --epochs --batch-size --lr --accumulate"
    words += " --clip-norm --ema --amp --patience --resume --num-gpus --loggers --opts examples:"
    assert all(word in text for word in words.split())
