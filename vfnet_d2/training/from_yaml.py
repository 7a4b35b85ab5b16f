"""Training and evaluation from YAML configs: DefaultTrainer with this project's parts."""

import argparse
import logging
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.engine import DefaultTrainer, SimpleTrainer
from detectron2.engine.train_loop import TrainerBase
from detectron2.evaluation import COCOEvaluator, verify_results
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.saved_metadata import save_metadata
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.data.loading import check_num_classes, check_test_sets, load_dataset
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.training.logs import log_setup
from vfnet_d2.training.optimizers import build_optimizer
from vfnet_d2.training.steps import distribute, make_step_trainer
from vfnet_d2.utils.system import available_device

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """DefaultTrainer with checked data and weights, the published parameter groups, and CPUs.

    Detectron2's own constructor is not called: it distributes over GPUs only.

    Args:
        cfg: a frozen config with :func:`~vfnet_d2.config.add_vfnet_config`'s keys.
    """

    def __init__(self, cfg: CfgNode) -> None:
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        data_loader = self.build_train_loader(cfg)
        check_test_sets(cfg.DATASETS.TEST)
        check_classes(cfg, cfg.DATASETS.TEST)
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        model = distribute(model, broadcast_buffers=False)
        self._trainer = self.build_step_trainer(cfg, model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = self.build_checkpointer(cfg, model)
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def build_step_trainer(
        self, cfg: CfgNode, model: nn.Module, data_loader: Any, optimizer: torch.optim.Optimizer
    ) -> SimpleTrainer:
        """See :func:`vfnet_d2.training.steps.make_step_trainer`."""
        return make_step_trainer(
            model,
            data_loader,
            optimizer,
            amp=cfg.SOLVER.AMP.ENABLED,
            precision=cfg.SOLVER.AMP.PRECISION,
        )

    def build_checkpointer(self, cfg: CfgNode, model: nn.Module) -> CheckedCheckpointer:
        """A checkpointer whose files say which model and classes they are of."""
        # A proxy, because the trainer owns the checkpointer.
        checkpointer = CheckedCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        save_metadata(checkpointer, dataset_names=cfg.DATASETS.TRAIN, cfg=cfg)
        return checkpointer

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """See :func:`vfnet_d2.training.optimizers.build_optimizer`."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """Detectron2's loader over a checked dataset."""
        dataset = load_dataset(
            cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        )
        check_classes(cfg, cfg.DATASETS.TRAIN)
        return build_detection_train_loader(cfg, dataset=dataset)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Detectron2's loader over a checked dataset, empty images included."""
        dataset = load_dataset(dataset_name, filter_empty=False)
        check_classes(cfg, [dataset_name])
        return build_detection_test_loader(cfg, dataset_name, dataset=dataset)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> COCOEvaluator:
        """See :func:`vfnet_d2.evaluation.coco.build_coco_evaluator`."""
        return build_coco_evaluator(dataset_name, output_dir=cfg.OUTPUT_DIR)


def check_classes(cfg: CfgNode, names: Sequence[str]) -> None:
    """See :func:`~vfnet_d2.data.loading.check_num_classes`."""
    check_num_classes(cfg.MODEL.ONE_STAGE.NUM_CLASSES, names, key="MODEL.ONE_STAGE.NUM_CLASSES")


def check_architecture(cfg: CfgNode) -> None:
    """Raise ValueError if the config's architecture is not one of this project's."""
    ours = [
        name
        for name, cls in META_ARCH_REGISTRY
        if isinstance(cls, type) and issubclass(cls, OneStageDetector)
    ]
    if cfg.MODEL.META_ARCHITECTURE not in ours:
        raise ValueError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}; train_net.py runs "
            f"{sorted(ours)}. Use Detectron2's tools for its own models"
        )


def setup(args: argparse.Namespace) -> CfgNode:
    """Read, complete, freeze and log the config of a run."""
    cfg = add_vfnet_config(get_cfg())
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    check_architecture(cfg)
    cfg.MODEL.DEVICE = "cpu" if args.num_gpus == 0 else available_device(cfg.MODEL.DEVICE)
    cfg.freeze()
    log_setup(cfg, args, output_dir=cfg.OUTPUT_DIR)
    return cfg


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, or with ``--eval-only`` evaluate, and return the evaluation's results."""
    cfg = setup(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        CheckedCheckpointer(model, save_dir=cfg.OUTPUT_DIR).load_for_evaluation(
            cfg.MODEL.WEIGHTS, resume=args.resume
        )
        results = Trainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return dict(results)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    return dict(getattr(trainer, "_last_eval_results", {}))
