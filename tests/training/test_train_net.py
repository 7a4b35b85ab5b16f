"""train_net.py end to end, as a user starts it: both config systems, --resume, --eval-only."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/quick/vfnet_shapes"

pytestmark = pytest.mark.slow

# The same small job in both systems: 40 iterations on the 200 images that are quick to make.
OVERRIDES = {
    ".yaml": {
        "OUTPUT_DIR": None,
        "DATASETS.TRAIN": "('shapes_val',)",
        "SOLVER.MAX_ITER": 40,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.WARMUP_ITERS": 2,  # the share of all that the LazyConfig has
        "SOLVER.CHECKPOINT_PERIOD": 20,
        "TEST.EVAL_PERIOD": 40,
        "DATALOADER.NUM_WORKERS": 0,
        "MODEL.ONE_STAGE.TOPK_CANDIDATES": 50,
        "MODEL.ONE_STAGE.SCORE_THRESH": 0.01,  # so that there is an AP after so few iterations
        "INPUT.MIN_SIZE_TEST": 96,  # evaluation takes most of the time
    },
    ".py": {
        "train.output_dir": None,
        "dataloader.train.dataset.names": "shapes_val",
        "train.max_iter": 40,
        "dataloader.train.total_batch_size": 2,
        "train.checkpointer.period": 20,
        "train.eval_period": 40,
        "dataloader.train.num_workers": 0,
        "model.topk_candidates": 50,
        "model.score_thresh": 0.01,
        "dataloader.test.mapper.augmentations.0.short_edge_length": "[96,96]",
    },
}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    from vfnet_d2.shapes.dataset import SHAPES_SPLITS, make_shapes

    root = tmp_path_factory.mktemp("datasets")
    make_shapes(root / "shapes_val", SHAPES_SPLITS["shapes_val"], workers=0)
    return root


def start(datasets, suffix, overrides, *flags, launcher=()) -> subprocess.CompletedProcess:
    pairs = [(key, str(value)) for key, value in overrides.items()]
    opts = (
        [f"{key}={value}" for key, value in pairs]
        if suffix == ".py"
        else [text for pair in pairs for text in pair]
    )
    command = ["train_net.py", "--config-file", f"{CONFIG}{suffix}", "--num-gpus", "0", *flags]
    environment = {
        **os.environ,
        "DETECTRON2_DATASETS": str(datasets),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    return subprocess.run(
        [sys.executable, "-W", "ignore", *launcher, *command, *opts],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def job(suffix: str, output: Path, **changes) -> dict:
    first, *rest = OVERRIDES[suffix]
    return {first: output, **{key: OVERRIDES[suffix][key] for key in rest}, **changes}


def entries(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_forty_iterations_resume_and_evaluate(datasets, tmp_path, suffix):
    done = start(datasets, suffix, job(suffix, tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    before = entries(tmp_path)
    # It learns boxes. The loss of the classes rises at first: its targets are the boxes' IoUs.
    for name in ("loss_bbox", "loss_bbox_refine"):
        losses = [entry[name] for entry in before if name in entry]
        assert losses[-1] < losses[0]
    assert "bbox/AP" in before[-1]

    # Resumed to 60, it runs the twenty iterations that are missing, and no more.
    maximum = "SOLVER.MAX_ITER" if suffix == ".yaml" else "train.max_iter"
    resumed = start(datasets, suffix, job(suffix, tmp_path, **{maximum: 60}), "--resume")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert "Starting training from iteration 40" in resumed.stdout + resumed.stderr
    final = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert final["iteration"] == 59

    # Evaluation alone gives what the training's last evaluation gave.
    weights = "MODEL.WEIGHTS" if suffix == ".yaml" else "train.init_checkpoint"
    only = start(
        datasets,
        suffix,
        job(suffix, tmp_path / "eval", **{weights: tmp_path / "model_final.pth"}),
        "--eval-only",
    )
    assert only.returncode == 0, only.stderr[-2000:]
    results = re.findall(r"copypaste: ([\d.,]+)", only.stdout + only.stderr)
    assert float(results[-1].split(",")[0]) == pytest.approx(
        entries(tmp_path)[-1]["bbox/AP"], abs=1e-3
    )


def test_two_processes_on_the_cpu(datasets, tmp_path):
    changes = {"SOLVER.MAX_ITER": 4, "TEST.EVAL_PERIOD": 0, "DATASETS.TEST": "()"}
    flags = ["--num-processes", "2", "--dist-url", "auto"]
    done = start(datasets, ".yaml", job(".yaml", tmp_path, **changes), *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert state["iteration"] == 3
    assert "World size: 2" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_two_processes_of_torchrun_are_one_training(datasets, tmp_path, suffix):
    changes = {
        ".yaml": {"SOLVER.MAX_ITER": 4, "TEST.EVAL_PERIOD": 0, "DATASETS.TEST": "()"},
        ".py": {"train.max_iter": 4, "train.eval_period": 0},
    }[suffix]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = start(datasets, suffix, job(suffix, tmp_path, **changes), launcher=launcher)
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.load(tmp_path / "model_final.pth", weights_only=True)["iteration"] == 3
    assert "World size: 2" in (tmp_path / "log.txt").read_text()


def test_a_mistake_ends_with_one_clear_line_and_a_status(datasets, tmp_path):
    changes = {"MODEL.ONE_STAGE.NUM_CLASSES": 7}
    done = start(datasets, ".yaml", job(".yaml", tmp_path, **changes))
    assert done.returncode != 0
    assert "MODEL.ONE_STAGE.NUM_CLASSES to 5" in done.stderr.splitlines()[-1]
