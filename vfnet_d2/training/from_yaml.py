"""Training and evaluation from YAML configs."""

import argparse
import functools
import logging
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.engine import DefaultTrainer, HookBase, hooks
from detectron2.evaluation import verify_results
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.solver import build_lr_scheduler
from detectron2.utils import comm
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn

from vfnet_d2.augmentation.mapper import training_mapper
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.saved_metadata import save_metadata
from vfnet_d2.config import TrainingOptions, add_vfnet_config
from vfnet_d2.data.loading import check_num_classes, check_test_sets, load_dataset
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.modeling.detector import is_detector_class
from vfnet_d2.overrides import merge_config
from vfnet_d2.training.command_line import check_batch_size
from vfnet_d2.training.components import Components, EvaluationSet, PictureSource, evaluate
from vfnet_d2.training.loading.loader import build_training_loader
from vfnet_d2.training.loading.sampling import sampler_of_config
from vfnet_d2.training.logs import log_setup
from vfnet_d2.training.optimizers import build_optimizer
from vfnet_d2.training.trainer import Trainer
from vfnet_d2.utils.system import available_device

logger = logging.getLogger(__name__)


def components(cfg: CfgNode) -> Components:
    """Build the parts of a training; data and classes are checked first.

    Args:
        cfg: with :func:`~vfnet_d2.config.add_vfnet_config`'s keys.

    Raises:
        ValueError: config and data do not fit together.
        FileNotFoundError: files of a dataset are missing.
    """
    cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
    train_loader = build_train_loader(cfg)
    check_test_sets(cfg.DATASETS.TEST)
    check_classes(cfg, cfg.DATASETS.TEST)
    model = build_model(cfg)
    logger.info("Model:\n%s", model)
    optimizer = build_optimizer(cfg, model)
    checkpointer = CheckedCheckpointer(model, cfg.OUTPUT_DIR)
    return Components(
        model=model,
        train_loader=train_loader,
        optimizer=optimizer,
        schedule=build_lr_scheduler(cfg, optimizer),
        checkpointer=checkpointer,
        weights=cfg.MODEL.WEIGHTS,
        max_iter=cfg.SOLVER.MAX_ITER,
        output_dir=cfg.OUTPUT_DIR,
        test_sets=evaluation_sets(cfg),
        eval_period=cfg.TEST.EVAL_PERIOD,
        checkpoint_period=cfg.SOLVER.CHECKPOINT_PERIOD,
        precision=cfg.SOLVER.AMP.PRECISION if cfg.SOLVER.AMP.ENABLED else None,
        options=TrainingOptions(**{key.lower(): value for key, value in cfg.TRAINING.items()}),
        metadata=save_metadata(checkpointer, dataset_names=cfg.DATASETS.TRAIN, cfg=cfg),
        pictures=_picture_source(cfg),
        hooks=_precise_bn(cfg, model),
        settings={
            "config": cfg.MODEL.META_ARCHITECTURE,
            "batch_size": cfg.SOLVER.IMS_PER_BATCH,
            "learning_rate": cfg.SOLVER.BASE_LR,
            "iterations": cfg.SOLVER.MAX_ITER,
            "weights": cfg.MODEL.WEIGHTS,
        },
    )


def build_train_loader(cfg: CfgNode) -> Any:
    """Build the training's loader over a checked dataset."""
    dataset = load_dataset(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    check_classes(cfg, cfg.DATASETS.TRAIN)
    return build_training_loader(
        dataset,
        mapper=training_mapper(cfg),
        sampler=sampler_of_config(cfg, dataset),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def build_test_loader(cfg: CfgNode, dataset_name: str) -> Any:
    """Build Detectron2's loader over a checked dataset, empty images included."""
    dataset = load_dataset(dataset_name, filter_empty=False)
    check_classes(cfg, [dataset_name])
    return build_detection_test_loader(cfg, dataset_name, dataset=dataset)


def evaluation_sets(cfg: CfgNode) -> list[EvaluationSet]:
    """Return the test sets of a config."""
    return [
        EvaluationSet(
            name,
            functools.partial(build_test_loader, cfg, name),
            functools.partial(build_coco_evaluator, name, output_dir=cfg.OUTPUT_DIR),
        )
        for name in cfg.DATASETS.TEST
    ]


def _picture_source(cfg: CfgNode) -> PictureSource | None:
    if not cfg.DATASETS.TEST:
        return None
    mapper = DatasetMapper(cfg, is_train=False)
    return PictureSource(cfg.DATASETS.TRAIN[0], cfg.DATASETS.TEST[0], cfg.INPUT.FORMAT, mapper)


def _precise_bn(cfg: CfgNode, model: nn.Module) -> list[HookBase]:
    """Detectron2's hook that measures the statistics of batch norms, where the config wants it."""
    if not (cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(model)):
        return []
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATALOADER.NUM_WORKERS = 0  # a second loader beside the training's
    number = cfg.TEST.PRECISE_BN.NUM_ITER
    return [hooks.PreciseBN(cfg.TEST.EVAL_PERIOD, model, build_train_loader(cfg), number)]


def check_classes(cfg: CfgNode, names: Sequence[str]) -> None:
    """See :func:`~vfnet_d2.data.loading.check_num_classes`."""
    key: str = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE).num_classes_key
    number = functools.reduce(lambda node, part: node[part], key.split("."), cfg)
    check_num_classes(number, names, key=key)


def check_architecture(cfg: CfgNode) -> None:
    """Raise ValueError if the config's architecture is no detector that can be trained here."""
    known = [name for name, cls in META_ARCH_REGISTRY if is_detector_class(cls)]
    if cfg.MODEL.META_ARCHITECTURE not in known:
        raise ValueError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}; train_net.py runs "
            f"{sorted(known)}. Use Detectron2's tools for its own models"
        )


def setup(args: argparse.Namespace) -> CfgNode:
    """Read, complete, freeze and log the config of a run."""
    cfg = add_vfnet_config(get_cfg())
    merge_config(cfg, args.config_file, args.opts)
    check_architecture(cfg)
    check_batch_size(cfg.SOLVER.IMS_PER_BATCH, key="SOLVER.IMS_PER_BATCH")
    cfg.MODEL.DEVICE = "cpu" if args.num_gpus == 0 else available_device(cfg.MODEL.DEVICE)
    cfg.freeze()
    log_setup(cfg, args, output_dir=cfg.OUTPUT_DIR)
    return cfg


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, or with ``--eval-only`` evaluate, and return the evaluation's results."""
    cfg = setup(args)
    if args.eval_only:
        model = build_model(cfg)
        CheckedCheckpointer(model, save_dir=cfg.OUTPUT_DIR).load_for_evaluation(
            cfg.MODEL.WEIGHTS, resume=args.resume
        )
        results = evaluate(model, evaluation_sets(cfg))
    else:
        trainer = Trainer(components(cfg))
        trainer.resume_or_load(resume=args.resume)
        results = trainer.train()
    if comm.is_main_process() and cfg.TEST.EXPECTED_RESULTS:
        verify_results(cfg, results)
    return results
