"""Starting the same small training from a YAML config, a LazyConfig and ``vfnet train``."""

import argparse
from pathlib import Path
from typing import Any

from vfnet_d2.finetune.data import TRAIN_NAME, VAL_NAME, find_training_data
from vfnet_d2.model_zoo import config_file
from vfnet_d2.training import from_lazy, from_yaml

ITERATIONS, PERIOD = 6, 2
SIZES = (160, 192)


def start(system: str, options: dict[str, Any], data: Path, output: Path, *, resume: bool) -> None:
    """Start a training in the way of one of SYSTEMS."""
    train_set, val_set = (str(data / name / "annotations.json") for name in ("train", "val"))
    if system == "vfnet train":
        start_vfnet(options, train_set, val_set, output, resume=resume)
        return
    found = find_training_data(train_set, val=val_set, held_out=output / "held_out")
    found.register(cache=data / "cache")
    yaml = system == "YAML"
    keys = yaml_keys(options, output) if yaml else lazy_keys(options, output)
    opts = [text for pair in keys.items() for text in map(str, pair)]
    if not yaml:
        opts = [f"{key}={value}" for key, value in keys.items()]
    arguments = argparse.Namespace(
        config_file=config_file("quick/vfnet_shapes", suffix=".yaml" if yaml else ".py"),
        opts=opts,
        num_gpus=0,
        eval_only=False,
        resume=resume,
    )
    (from_yaml if yaml else from_lazy).run(arguments)


def yaml_keys(options: dict[str, Any], output: Path) -> dict[str, Any]:
    """Return the keys of a YAML config and their values."""
    keys = {
        "OUTPUT_DIR": output,
        "DATASETS.TRAIN": (TRAIN_NAME,),
        "DATASETS.TEST": (VAL_NAME,),
        **common_keys(options),
        "SOLVER.MAX_ITER": ITERATIONS,
        "SOLVER.IMS_PER_BATCH": 2,
        "TEST.EVAL_PERIOD": PERIOD,
        "TRAINING.KEEP_BEST": True,
        "TRAINING.EMA": options.get("ema", False),
        "TRAINING.ACCUMULATE": options.get("accumulate", 1),
    }
    if "amp" in options:
        keys |= {"SOLVER.AMP.ENABLED": True, "SOLVER.AMP.PRECISION": options["amp"]}
    return keys


def common_keys(options: dict[str, Any]) -> dict[str, Any]:
    """Return those that ``vfnet train`` is given too."""
    return {
        "DATALOADER.NUM_WORKERS": options.get("workers", 0),
        "SOLVER.CHECKPOINT_PERIOD": PERIOD,
        "INPUT.MIN_SIZE_TRAIN": SIZES,
        "INPUT.MIN_SIZE_TEST": 96,
        "MODEL.ONE_STAGE.SCORE_THRESH": 0.001,  # so that there is an AP after so few iterations
        "SEED": 3,
    }


def lazy_keys(options: dict[str, Any], output: Path) -> dict[str, Any]:
    """Return the keys of a LazyConfig and their values."""
    sizes = str(list(SIZES)).replace(" ", "")
    augmentations = "mapper.augmentations.0.short_edge_length"
    keys = {
        "train.output_dir": output,
        "dataloader.train.dataset.names": TRAIN_NAME,
        "dataloader.test.dataset.names": VAL_NAME,
        f"dataloader.train.{augmentations}": sizes,
        f"dataloader.test.{augmentations}": "[96,96]",
        "dataloader.train.num_workers": options.get("workers", 0),
        "dataloader.test.num_workers": options.get("workers", 0),
        "dataloader.train.total_batch_size": 2,
        "train.max_iter": ITERATIONS,
        "train.checkpointer.period": PERIOD,
        "train.eval_period": PERIOD,
        "train.seed": 3,
        "model.score_thresh": 0.001,
        "train.options.keep_best": True,
        "train.options.ema": options.get("ema", False),
        "train.options.accumulate": options.get("accumulate", 1),
    }
    if "amp" in options:
        keys |= {"train.amp.enabled": True, "train.amp.precision": options["amp"]}
    return keys


def start_vfnet(
    options: dict[str, Any], train_set: str, val_set: str, output: Path, *, resume: bool
) -> None:
    """Start ``vfnet train`` as its command line does."""
    from vfnet_d2.cli.main import main

    flags = ["--ema"] if options.get("ema") else []
    flags += ["--accumulate", str(options["accumulate"])] if "accumulate" in options else []
    if "amp" in options:
        flags += ["--amp", {"bfloat16": "bf16", "float16": "fp16"}[options["amp"]]]
    flags += ["--resume"] * resume
    keys = {**common_keys(options), "SOLVER.MAX_ITER": ITERATIONS}
    status = main(
        ["train", train_set, "--val", val_set, "--model", "quick/vfnet_shapes", *flags]
        + ["--batch-size", "2", "--eval-period", str(PERIOD), "--num-gpus", "0"]
        + ["--output", str(output), "--opts"]
        + [text for pair in keys.items() for text in map(str, pair)]
    )
    if status:
        raise SystemExit(status)
