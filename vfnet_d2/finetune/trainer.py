"""Fine-tuning: the YAML trainer with the best checkpoint, EMA, early stopping and pictures."""

import contextlib
import io
import logging
import math
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn
from torch.optim.swa_utils import AveragedModel

from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.checkpoint.new_classes import FineTuneCheckpointer
from vfnet_d2.checkpoint.saved_metadata import save_metadata
from vfnet_d2.data.loading import load_dataset
from vfnet_d2.training.accumulate import AccumulatingTrainer, clip_total_norm
from vfnet_d2.training.from_yaml import Trainer
from vfnet_d2.training.hooks.ema import EmaUpdate, averaged_model
from vfnet_d2.training.hooks.pictures import ValidationPictures, WatchedLoader, batch_watcher
from vfnet_d2.training.hooks.trackers import TRACKERS
from vfnet_d2.training.hooks.validation import EarlyStopError, EarlyStopping, ValidationHistory
from vfnet_d2.utils.files import write_whole

logger = logging.getLogger(__name__)

BEST, FINAL, FINAL_EMA = "model_best.pth", "model_final.pth", "model_final_ema.pth"
HISTORY = "validations.json"
# Of those that a training can be resumed from; they hold the optimizer's state too.
KEPT_CHECKPOINTS = 2


class TrainingOptions(NamedTuple):
    """What a fine-tuning does beyond its config.

    Attributes:
        accumulate: batches of an iteration.
        clip_norm: largest norm of the whole gradient, or None.
        ema: average the weights; the average is validated and saved as the best model.
        patience: validations without a better AP that end the training, or None.
        trackers: keys of :data:`~vfnet_d2.training.hooks.trackers.TRACKERS`.
    """

    accumulate: int = 1
    clip_norm: float | None = None
    ema: bool = False
    patience: int | None = None
    trackers: Sequence[str] = ()


class FineTuner(Trainer):
    """Trainer that starts from weights of other classes and keeps the best model.

    With default options it computes what Trainer does. The output folder gets, besides
    Detectron2's files, ``train_batch.png``, ``validations.json`` and ``model_best.pth``.

    Args:
        cfg: a frozen config with one training and one validation set, which are registered.
        options: see there.
    """

    def __init__(self, cfg: CfgNode, *, options: TrainingOptions) -> None:
        self.options = options
        self.ema: AveragedModel | None = None
        self.output = Path(cfg.OUTPUT_DIR)
        self.history = ValidationHistory(self.output / HISTORY)
        self._pictures: ValidationPictures | None = None
        super().__init__(cfg)

    def build_step_trainer(
        self, cfg: CfgNode, model: nn.Module, data_loader: Any, optimizer: torch.optim.Optimizer
    ) -> SimpleTrainer:
        """Add the picture of the first batch, clipping and accumulation."""
        if comm.is_main_process():
            data_loader = WatchedLoader(data_loader, batch_watcher(cfg))
        if self.options.clip_norm is not None:
            clip_total_norm(optimizer, self.options.clip_norm)
        if self.options.accumulate == 1:
            return super().build_step_trainer(cfg, model, data_loader, optimizer)
        return AccumulatingTrainer(
            model,
            data_loader,
            optimizer,
            accumulate=self.options.accumulate,
            amp=cfg.SOLVER.AMP.ENABLED,
            precision=cfg.SOLVER.AMP.PRECISION,
        )

    def build_checkpointer(self, cfg: CfgNode, model: nn.Module) -> FineTuneCheckpointer:
        """Add the start from other classes, and the average of the weights."""
        names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).thing_classes
        # A proxy, because the trainer owns the checkpointer.
        checkpointer = FineTuneCheckpointer(
            model, cfg.OUTPUT_DIR, class_names=names, trainer=weakref.proxy(self)
        )
        self.metadata = save_metadata(checkpointer, dataset_names=cfg.DATASETS.TRAIN, cfg=cfg)
        if self.options.ema:
            self.ema = averaged_model(checkpointer.model)
            checkpointer.add_checkpointable("ema", self.ema)
        return checkpointer

    def build_hooks(self) -> list[HookBase | None]:
        """Detectron2's hooks, with those of the options at their places."""
        found: list[HookBase | None] = super().build_hooks()
        for hook in found:
            if isinstance(hook, hooks.PeriodicCheckpointer):
                hook.max_to_keep = KEPT_CHECKPOINTS
        place = next(i for i, hook in enumerate(found) if isinstance(hook, hooks.EvalHook))
        period = self.cfg.TEST.EVAL_PERIOD
        found[place] = hooks.EvalHook(period, self._validate)
        if self.options.patience is not None:
            stopping = EarlyStopping(self.history, period=period, patience=self.options.patience)
            found.insert(place + 1, stopping)
        if self.ema is not None:
            # Before the checkpointer, which saves the average too.
            found.insert(1, EmaUpdate(self.ema, self.checkpointer.model))
        return found

    def build_writers(self) -> list[EventWriter]:
        """Detectron2's writers (terminal, metrics.json, TensorBoard) and the trackers."""
        solver = self.cfg.SOLVER
        settings = {
            "config": self.cfg.MODEL.META_ARCHITECTURE,
            "batch_size": solver.IMS_PER_BATCH,
            "learning_rate": solver.BASE_LR,
            "iterations": solver.MAX_ITER,
            "weights": self.cfg.MODEL.WEIGHTS,
            **self.options._asdict(),
        }
        trackers = [TRACKERS[name](self.output, settings) for name in self.options.trackers]
        return [*super().build_writers(), *trackers]

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on with the last checkpoint, or start from ``MODEL.WEIGHTS``.

        Raises:
            FileNotFoundError: no such weights.
            CheckpointError: weights that do not belong to the model.
        """
        if not (resume and self.checkpointer.has_checkpoint()):
            if resume:
                logger.info("%s has no checkpoint to resume from", self.output)
            self.checkpointer.start_from(self.cfg.MODEL.WEIGHTS)
            return
        super().resume_or_load(resume=True)
        self.history.read(iterations=self.start_iter)
        if self.ema is not None and self.ema.n_averaged == 0:
            # The checkpoint is of a training without average.
            self.ema.module.load_state_dict(self.checkpointer.model.state_dict())

    def train(self) -> dict[str, Any]:
        """Train to the last iteration or the early stop; return the last validation's results."""
        try:
            super().train()
        except EarlyStopError:
            self.checkpointer.save(Path(FINAL).stem, iteration=self.iter)
        if comm.is_main_process():
            if self.ema is not None:
                self._save_weights(FINAL_EMA)
            logger.info(self._summary())
        return dict(self._last_eval_results)

    @property
    def _validated(self) -> nn.Module:
        model: nn.Module = self.checkpointer.model
        return self.ema.module if self.ema is not None else model

    def _validate(self) -> dict[str, Any]:
        """Evaluate, and keep the weights if they are the best so far."""
        # Evaluation is shared by all processes, each with its copy. What pycocotools prints is in
        # Detectron2's log too.
        with contextlib.redirect_stdout(io.StringIO()):
            results = self._last_eval_results = self.test(self.cfg, self._validated)
        if comm.is_main_process():
            done, ap = min(self.iter + 1, self.max_iter), results["bbox"]["AP"]
            is_best = self.history.add(done, ap)
            told = "no AP, since nothing was detected" if math.isnan(ap) else f"AP {ap:.2f}"
            best = ", the best so far" if is_best else ""
            logger.info("Validation after iteration %s: %s%s", f"{done:,}", told, best)
            if is_best:
                self._save_weights(BEST)
            self._show_pictures()
        return dict(results)

    def _show_pictures(self) -> None:
        if self._pictures is None:
            name = self.cfg.DATASETS.TEST[0]
            items = load_dataset(name, filter_empty=False)
            self._pictures = ValidationPictures(self.cfg, dataset=name, items=items)
        for number, picture in enumerate(self._pictures.draw(self._validated)):
            self.storage.put_image(f"validation/{number}", picture.transpose(2, 0, 1))

    def _save_weights(self, name: str) -> None:
        """Write the validated weights alone: nothing to resume from, but all that a user needs."""
        iteration = min(self.iter, self.max_iter - 1)
        content = {"model": self._validated.state_dict(), "iteration": iteration}
        if self.metadata is not None:
            content[ENTRY] = self.metadata.as_dict()
        write_whole(self.output / name, lambda path: torch.save(content, path))

    def _summary(self) -> str:
        best = self.history.best
        if best is None:
            return (
                f"No validation had an AP: nothing was detected. The last weights are in "
                f"{self.output / FINAL}"
            )
        return f"Best AP {best.ap:.2f}, after {best.iterations:,} iterations: {self.output / BEST}"
