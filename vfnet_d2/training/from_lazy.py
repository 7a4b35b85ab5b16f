"""Training and evaluation from LazyConfig files; the twin of :mod:`vfnet_d2.training.from_yaml`."""

import argparse
import functools
import logging
from typing import Any

from detectron2.config import instantiate
from omegaconf import DictConfig, OmegaConf

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.saved_metadata import save_metadata
from vfnet_d2.config import TrainingOptions
from vfnet_d2.data.loading import check_num_classes, check_test_sets
from vfnet_d2.modeling.detector import is_detector
from vfnet_d2.overrides import override_lazy_config
from vfnet_d2.training.command_line import check_batch_size
from vfnet_d2.training.components import Components, EvaluationSet, PictureSource, evaluate
from vfnet_d2.training.logs import log_setup
from vfnet_d2.training.trainer import Trainer
from vfnet_d2.utils.old_targets import load_lazy_config
from vfnet_d2.utils.system import available_device

logger = logging.getLogger(__name__)


def components(cfg: DictConfig) -> Components:
    """Build the parts of a training; data and classes are checked first.

    Args:
        cfg: with "model", "dataloader", "optimizer", "lr_multiplier" and "train".

    Raises:
        ValueError: config and data do not fit together, or an option is unknown.
        FileNotFoundError: files of a dataset are missing.
    """
    options = training_options(cfg)
    model = build_model(cfg)
    train_loader = instantiate(cfg.dataloader.train)
    train_names = names_of(cfg.dataloader.train)
    check_classes(cfg, train_names)
    check_test_sets(names_of(cfg.dataloader.test))
    check_classes(cfg, names_of(cfg.dataloader.test))
    logger.info("Model:\n%s", model)
    cfg.optimizer.params.model = model
    checkpointer = CheckedCheckpointer(model, cfg.train.output_dir)
    return Components(
        model=model,
        train_loader=train_loader,
        optimizer=instantiate(cfg.optimizer),
        schedule=instantiate(cfg.lr_multiplier),
        checkpointer=checkpointer,
        weights=cfg.train.init_checkpoint,
        max_iter=cfg.train.max_iter,
        output_dir=cfg.train.output_dir,
        test_sets=evaluation_sets(cfg),
        eval_period=cfg.train.eval_period,
        checkpoint_period=cfg.train.checkpointer.period,
        max_to_keep=cfg.train.checkpointer.get("max_to_keep"),
        log_period=cfg.train.log_period,
        precision=cfg.train.amp.precision if cfg.train.amp.enabled else None,
        options=options,
        metadata=save_metadata(checkpointer, dataset_names=train_names, cfg=cfg),
        pictures=_picture_source(cfg, model, train_names),
        settings={
            "config": type(model).__name__,
            "batch_size": cfg.dataloader.train.total_batch_size,
            "learning_rate": cfg.optimizer.get("lr"),
            "iterations": cfg.train.max_iter,
            "weights": cfg.train.init_checkpoint,
        },
    )


def training_options(cfg: DictConfig) -> TrainingOptions:
    """Return ``train.options``; configs that have none take the defaults.

    Raises:
        ValueError: an option is unknown; lists the known ones.
    """
    given = OmegaConf.to_container(cfg.train.get("options") or OmegaConf.create({}))
    assert isinstance(given, dict)
    unknown = [key for key in given if key not in TrainingOptions._fields]
    if unknown:
        raise ValueError(
            f"train.options.{unknown[0]} is unknown; there are {', '.join(TrainingOptions._fields)}"
        )
    named = {str(key): value for key, value in given.items()}
    return TrainingOptions(**{**named, "trackers": tuple(named.get("trackers", ()))})


def build_model(cfg: DictConfig) -> Any:
    """Build the model on its device.

    Raises:
        ValueError: it is no detector that can be trained here.
    """
    model = instantiate(cfg.model)
    if not is_detector(model):
        raise ValueError(
            f"the config's model is of class {type(model).__name__}; train_net.py runs this "
            "project's detectors. Use Detectron2's lazyconfig_train_net.py for others"
        )
    return model.to(cfg.train.device)  # type: ignore[attr-defined]


def evaluation_sets(cfg: DictConfig) -> list[EvaluationSet]:
    """Return the test set of a config."""
    return [
        EvaluationSet(
            "+".join(names_of(cfg.dataloader.test)),
            functools.partial(_test_loader, cfg),
            functools.partial(instantiate, cfg.dataloader.evaluator),
        )
    ]


def _test_loader(cfg: DictConfig) -> Any:
    loader = instantiate(cfg.dataloader.test)
    check_classes(cfg, names_of(cfg.dataloader.test))
    return loader


def _picture_source(cfg: DictConfig, model: Any, train_names: list[str]) -> PictureSource:
    mapper = instantiate(cfg.dataloader.test.mapper)
    test_names = names_of(cfg.dataloader.test)
    return PictureSource(train_names[0], test_names[0], model.input_format, mapper)


def check_classes(cfg: DictConfig, names: list[str]) -> None:
    """See :func:`~vfnet_d2.data.loading.check_num_classes`."""
    check_num_classes(cfg.model.num_classes, names, key="model.num_classes")


def names_of(loader: DictConfig) -> list[str]:
    """Return the names of a loader's datasets, which may be a single one."""
    names = loader.dataset.names
    return [names] if isinstance(names, str) else list(names)


def setup(args: argparse.Namespace) -> DictConfig:
    """Read, complete and log the config of a run."""
    cfg = load_lazy_config(args.config_file)
    cfg = override_lazy_config(cfg, args.opts)
    size = cfg.dataloader.train.total_batch_size
    check_batch_size(size, key="dataloader.train.total_batch_size")
    cfg.train.device = "cpu" if args.num_gpus == 0 else available_device(cfg.train.device)
    log_setup(cfg, args, output_dir=cfg.train.output_dir)
    return cfg


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, or with ``--eval-only`` evaluate, and return the evaluation's results."""
    cfg = setup(args)
    if not args.eval_only:
        trainer = Trainer(components(cfg))
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()
    model = build_model(cfg)
    CheckedCheckpointer(model, cfg.train.output_dir).load_for_evaluation(
        cfg.train.init_checkpoint, resume=args.resume
    )
    return evaluate(model, evaluation_sets(cfg))
