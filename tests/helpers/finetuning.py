"""A small training for tests: twelve images of noise to train on, three to validate."""

from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from tests.helpers.coco_data import write_coco
from tests.helpers.quick_model import quick_config
from vfnet_d2.finetune.data import TRAIN_NAME, VAL_NAME, find_training_data

SIZE = 96
# Four iterations of two images, with a validation and a checkpoint in the middle and at the end.
OPTIONS: dict[str, Any] = {
    "DATASETS.TRAIN": (TRAIN_NAME,),
    "DATASETS.TEST": (VAL_NAME,),
    "INPUT.MIN_SIZE_TRAIN": (SIZE,),
    "INPUT.MIN_SIZE_TEST": SIZE,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "TEST.EVAL_PERIOD": 2,
    "MODEL.ONE_STAGE.TOPK_CANDIDATES": 50,
}


def write_small_dataset(folder: Path, *, images: int) -> str:
    """Write a COCO dataset with a box of some class on each image; return the JSON's path."""
    boxes = [{"bbox": [8 + n, 8, 50, 60 - n], "category_id": 1 + n % 5} for n in range(images)]
    return str(write_coco(folder, [[box] for box in boxes], size=(SIZE, SIZE)))


def register_training_data(folder: Path) -> None:
    """Write both datasets and register them."""
    train = write_small_dataset(folder / "train", images=12)
    val = write_small_dataset(folder / "val", images=3)
    data = find_training_data(train, val=val, held_out=folder / "held_out")
    data.register(cache=folder / "cache")


def training_config(output: Path, **changes: Any) -> CfgNode:
    """The frozen config of the small training; ``changes`` have "__" for the dots of keys."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    options = {**OPTIONS, "OUTPUT_DIR": str(output), **changed}
    cfg = quick_config(*[part for pair in options.items() for part in pair])
    cfg.freeze()
    return cfg
