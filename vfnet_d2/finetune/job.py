"""A fine-tuning as it is planned by one process and run by several."""

import argparse
import contextlib
import io
import logging
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from vfnet_d2.checkpoint.new_classes import FineTuneCheckpointer
from vfnet_d2.checkpoint.saved_metadata import save_metadata
from vfnet_d2.checkpoint.trained import set_num_classes
from vfnet_d2.config import TrainingOptions
from vfnet_d2.finetune.data import TRAIN_NAME, VAL_NAME, TrainingData
from vfnet_d2.finetune.recipe import Row, recipe_text
from vfnet_d2.training import from_yaml
from vfnet_d2.training.components import Components, EvaluationSet, evaluate
from vfnet_d2.training.launch import launch
from vfnet_d2.training.logs import log_setup
from vfnet_d2.training.trainer import Trainer
from vfnet_d2.utils.choices import AMP_PRECISIONS
from vfnet_d2.utils.precision import cpu_multiplies_bfloat16

logger = logging.getLogger(__name__)

WORKERS = "DATALOADER.NUM_WORKERS"
# Of those that a training can be resumed from; they hold the optimizer's state too.
KEPT_CHECKPOINTS = 2


class Job(NamedTuple):
    """Everything that a process needs to know.

    Attributes:
        cfg: of the training, complete.
        data: its datasets.
        recipe: the numbers, for the log.
        resume: go on where the output folder's last checkpoint is.
        num_gpus: 0 trains on the CPU.
        command: for the log.
    """

    cfg: CfgNode
    data: TrainingData
    recipe: list[Row]
    resume: bool
    num_gpus: int
    command: str


def choose_gpus(wanted: int | None) -> int:
    """Return how many GPUs to use: those asked for, else one if there is one.

    Raises:
        ValueError: there are not so many.
    """
    available = torch.cuda.device_count()
    if wanted is None:
        return min(available, 1)
    if not 0 <= wanted <= available:
        raise ValueError(
            f"--num-gpus {wanted}, but {available} are visible; ask for at most that many, and 0 "
            "trains on the CPU"
        )
    return wanted


def check_output(output: Path, *, resume: bool) -> None:
    """Raise ValueError if a new training would write over another one."""
    if not resume and (output / "last_checkpoint").exists():
        raise ValueError(
            f"{output} holds a training already: go on with it by --resume, or name another "
            "folder with --output"
        )


def complete_config(
    cfg: CfgNode,
    data: TrainingData,
    *,
    output: str,
    num_gpus: int,
    amp: str | None = None,
    options: TrainingOptions | None = None,
    given: Collection[str] = (),
) -> None:
    """Write what does not follow from the config itself into it.

    Args:
        cfg: changed in place.
        data: sets the datasets and the number of classes.
        output: folder of the training.
        num_gpus: 0 for the CPU.
        amp: key of AMP_PRECISIONS; None leaves the config's.
        options: of the training; None leaves the config's.
        given: config keys that the user set, which stay.
    """
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (TRAIN_NAME,), (VAL_NAME,)
    set_num_classes(cfg, len(data.classes))
    cfg.MODEL.DEVICE = "cuda" if num_gpus else "cpu"
    cfg.OUTPUT_DIR = output
    # Of the config's own data.
    cfg.TEST.EXPECTED_RESULTS = []
    if amp is not None:
        cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.PRECISION = True, AMP_PRECISIONS[amp]
    if options is not None:
        for name, value in options._asdict().items():
            if f"TRAINING.{name.upper()}" not in given:
                cfg.TRAINING[name.upper()] = value
    if WORKERS not in given:
        # Beside a training on the CPU, processes that read images would take its cores.
        most = available_cores() if num_gpus else 0
        cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, most)


def bfloat16_is_left_out(cfg: CfgNode) -> bool:
    """Whether a training on the CPU is in float32 where bfloat16 would be faster."""
    on_cpu = cfg.MODEL.DEVICE == "cpu"
    return on_cpu and not cfg.SOLVER.AMP.ENABLED and cpu_multiplies_bfloat16()


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only; knows a container's limits
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_job(job: Job) -> None:
    """Train, in as many processes as there are GPUs."""
    launch(
        _run_process,
        argparse.Namespace(
            num_gpus=job.num_gpus,
            num_processes=1,
            num_machines=1,
            machine_rank=0,
            dist_url="auto",
            job=job,
        ),
    )


def _run_process(arguments: argparse.Namespace) -> None:
    job: Job = arguments.job
    cfg = job.cfg
    cfg.freeze()
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    log_setup(
        cfg,
        argparse.Namespace(command=job.command),
        output_dir=cfg.OUTPUT_DIR,
        short_terminal=True,
    )
    job.data.register(cache=Path(cfg.OUTPUT_DIR) / "ground_truth")
    trainer = Trainer(components(cfg))
    logger.info("Data:\n%s", "\n".join(f"  {note}" for note in job.data.notes))
    logger.info("Recipe:\n%s", recipe_text(job.recipe))
    if bfloat16_is_left_out(cfg):
        logger.info("This CPU multiplies bfloat16: --amp bf16 trains large models much faster")
    logger.info("Everything else, such as config and model, is in %s/log.txt", cfg.OUTPUT_DIR)
    trainer.resume_or_load(resume=job.resume)
    trainer.train()


def components(cfg: CfgNode) -> Components:
    """Build the parts of a fine-tuning: those of the config, with weights of other classes allowed.

    Args:
        cfg: complete and frozen, with one training and one validation set that are registered.
    """
    parts = from_yaml.components(cfg)
    checkpointer = FineTuneCheckpointer(
        parts.model,
        parts.output_dir,
        class_names=MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).thing_classes,
    )
    return parts._replace(
        checkpointer=checkpointer,
        metadata=save_metadata(checkpointer, dataset_names=cfg.DATASETS.TRAIN, cfg=cfg),
        max_to_keep=KEPT_CHECKPOINTS,
        evaluate=_evaluate_quietly,
    )


def _evaluate_quietly(model: nn.Module, test_sets: Sequence[EvaluationSet]) -> dict[str, Any]:
    """Evaluate without what pycocotools prints, which is in the log too."""
    with contextlib.redirect_stdout(io.StringIO()):
        return evaluate(model, test_sets)
