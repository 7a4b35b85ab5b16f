"""Training and evaluation from LazyConfig files; the twin of :mod:`vfnet_d2.training.from_yaml`."""

import argparse
import logging
from typing import Any

from detectron2.config import LazyConfig, instantiate
from detectron2.engine import default_writers, hooks
from detectron2.engine.train_loop import SimpleTrainer
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.saved_metadata import save_metadata
from vfnet_d2.data.loading import check_num_classes, check_test_sets
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.training.logs import log_setup
from vfnet_d2.training.steps import distribute, make_step_trainer
from vfnet_d2.utils.system import available_device

logger = logging.getLogger(__name__)


def setup(args: argparse.Namespace) -> DictConfig:
    """Read, complete and log the config of a run."""
    cfg = LazyConfig.load(args.config_file)
    cfg = LazyConfig.apply_overrides(cfg, args.opts)
    cfg.train.device = "cpu" if args.num_gpus == 0 else available_device(cfg.train.device)
    log_setup(cfg, args, output_dir=cfg.train.output_dir)
    return cfg


def build_model(cfg: DictConfig) -> OneStageDetector:
    """Build the model on its device.

    Raises:
        ValueError: it is not a detector of this project.
    """
    model = instantiate(cfg.model)
    if not isinstance(model, OneStageDetector):
        raise ValueError(
            f"the config's model is of class {type(model).__name__}; train_net.py runs this "
            "project's detectors. Use Detectron2's lazyconfig_train_net.py for others"
        )
    return model.to(cfg.train.device)


def evaluate(cfg: DictConfig, model: nn.Module) -> dict[str, Any]:
    """Evaluate on the config's test set and print the result."""
    loader = instantiate(cfg.dataloader.test)
    check_classes(cfg, cfg.dataloader.test.dataset.names)
    results = inference_on_dataset(model, loader, instantiate(cfg.dataloader.evaluator))
    if comm.is_main_process():
        print_csv_format(results)
    return dict(results)


def check_classes(cfg: DictConfig, names: Any) -> None:
    """See :func:`~vfnet_d2.data.loading.check_num_classes`."""
    check_num_classes(cfg.model.num_classes, _names(names), key="model.num_classes")


def _names(names: Any) -> list[str]:
    """A LazyConfig's names of datasets, which may be a single one."""
    return [names] if isinstance(names, str) else list(names)


def train(cfg: DictConfig, *, resume: bool) -> dict[str, Any]:
    """Train, evaluating on the way, and return the last evaluation's results."""
    model = build_model(cfg)
    train_loader = instantiate(cfg.dataloader.train)
    check_classes(cfg, cfg.dataloader.train.dataset.names)
    check_test_sets(_names(cfg.dataloader.test.dataset.names))
    check_classes(cfg, cfg.dataloader.test.dataset.names)
    logger.info("Model:\n%s", model)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    trainer = make_step_trainer(
        distribute(model, broadcast_buffers=False),
        train_loader,
        optimizer,
        amp=cfg.train.amp.enabled,
        precision=cfg.train.amp.precision,
    )
    checkpointer = CheckedCheckpointer(trainer.model, cfg.train.output_dir, trainer=trainer)
    save_metadata(checkpointer, dataset_names=_names(cfg.dataloader.train.dataset.names), cfg=cfg)
    results: dict[str, Any] = {}
    _register_hooks(cfg, trainer, checkpointer, results)
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=resume)
    resumed = resume and checkpointer.has_checkpoint()
    trainer.train(trainer.iter + 1 if resumed else 0, cfg.train.max_iter)
    return results


def _register_hooks(
    cfg: DictConfig,
    trainer: SimpleTrainer,
    checkpointer: CheckedCheckpointer,
    results: dict[str, Any],
) -> None:
    """Register timing, schedule, checkpoints, evaluation and logs, in that order."""

    def test_and_keep() -> dict[str, Any]:
        results.update(evaluate(cfg, trainer.model))
        return results

    trainer.register_hooks(
        [hooks.IterationTimer(), hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier))]
    )
    main = comm.is_main_process()
    if main:
        trainer.register_hooks([hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer)])
    trainer.register_hooks([hooks.EvalHook(cfg.train.eval_period, test_and_keep)])
    if main:
        writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
        trainer.register_hooks([hooks.PeriodicWriter(writers, period=cfg.train.log_period)])


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, or with ``--eval-only`` evaluate, and return the evaluation's results."""
    cfg = setup(args)
    if not args.eval_only:
        return train(cfg, resume=args.resume)
    model = build_model(cfg)
    CheckedCheckpointer(model, cfg.train.output_dir).load_for_evaluation(
        cfg.train.init_checkpoint, resume=args.resume
    )
    return evaluate(cfg, model)
