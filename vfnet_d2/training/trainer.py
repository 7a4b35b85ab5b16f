"""The one trainer: components from any config system, and a hook for each behaviour."""

import logging
import weakref
from pathlib import Path
from typing import Any

from detectron2.engine import DefaultTrainer, HookBase, default_writers, hooks
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn
from torch.optim.swa_utils import AveragedModel

from vfnet_d2.checkpoint.saving import needed
from vfnet_d2.training.components import Components
from vfnet_d2.training.evaluation_hooks import acting_on_evaluations
from vfnet_d2.training.hooks.best_model import ValidationHistory, save_weights
from vfnet_d2.training.hooks.early_stopping import EarlyStopError, EarlyStopping
from vfnet_d2.training.hooks.ema import EmaUpdate, averaged_model
from vfnet_d2.training.hooks.missed_evaluation import MissedEvaluation
from vfnet_d2.training.hooks.nan_report import NanReport
from vfnet_d2.training.hooks.pictures import watched_loader
from vfnet_d2.training.hooks.preemption import PreemptedError, Preemption
from vfnet_d2.training.hooks.sampler_state import SamplerState
from vfnet_d2.training.hooks.trackers import TRACKERS
from vfnet_d2.training.optimizers import base_rates, clip_total_norm, resume_learning_rates
from vfnet_d2.training.options import check_options
from vfnet_d2.training.steps import StepTrainer, distribute, share_buffers
from vfnet_d2.utils.files import remove_leftovers

logger = logging.getLogger(__name__)

BEST, FINAL, FINAL_EMA = "model_best.pth", "model_final.pth", "model_final_ema.pth"
HISTORY = "validations.json"


class Trainer(DefaultTrainer):
    """Detectron2's DefaultTrainer over :class:`~vfnet_d2.training.components.Components`.

    Detectron2's own constructor is not called: it reads a YAML config and distributes over GPUs
    only. With default options this computes what Detectron2's trainer does.

    Args:
        parts: of the training.

    Raises:
        ValueError: an option is out of range, or needs something that is not there.
    """

    def __init__(self, parts: Components) -> None:
        TrainerBase.__init__(self)
        check_options(parts)
        options = parts.options
        self.parts = parts
        self.output = Path(parts.output_dir)
        loader = parts.train_loader
        if parts.pictures is not None and options.pictures and comm.is_main_process():
            loader = watched_loader(loader, parts.pictures, self.output)
        if options.clip_total_norm:
            clip_total_norm(parts.optimizer, options.clip_total_norm)
        proxy = weakref.proxy(self)  # whoever the trainer owns must not own it
        self._trainer = StepTrainer(
            distribute(parts.model, broadcast_buffers=False),
            loader,
            parts.optimizer,
            precision=parts.precision,
            accumulate=options.accumulate,
            after_backward=lambda: proxy.after_backward(),
            not_finite=lambda step: proxy.nan_report.act(step),
        )
        self.nan_report = NanReport(
            parts.model, parts.optimizer, output=self.output, skip=options.skip_bad_batches
        )
        self.preemption = Preemption()
        self.scheduler = parts.schedule
        self.checkpointer = parts.checkpointer
        self.checkpointer.add_checkpointable("trainer", proxy)
        self.ema: AveragedModel | None = None
        if options.ema:
            self.ema = averaged_model(parts.model, decay=options.ema_decay)
            self.checkpointer.add_checkpointable("ema", self.ema)
        self.history = ValidationHistory(self.output / HISTORY)
        self.start_iter = 0
        self.max_iter = parts.max_iter
        self.last_results: dict[str, Any] = {}
        self.register_hooks(self.build_hooks())

    def after_backward(self) -> None:
        """Call the hooks' method of this name, which Detectron2 main has and v0.6 has not."""
        for hook in self._hooks:
            call = getattr(hook, "after_backward", None)
            if call is not None:
                call()

    def build_hooks(self) -> list[HookBase]:
        """Return the hooks in the order in which they run."""
        parts, options = self.parts, self.parts.options
        found: list[HookBase] = [
            hooks.IterationTimer(),
            SamplerState(parts.train_loader),
            self.nan_report,
            hooks.LRScheduler(scheduler=parts.schedule),
            *parts.hooks,
        ]
        if self.ema is not None:
            found.append(EmaUpdate(self.ema, parts.model))
        if comm.is_main_process():
            found.append(
                hooks.PeriodicCheckpointer(
                    self.checkpointer, parts.checkpoint_period, max_to_keep=parts.max_to_keep
                )
            )
        found.append(self.preemption)
        # After the checkpoint, so that a failing evaluation costs no training.
        evaluation: list[HookBase] = [hooks.EvalHook(parts.eval_period, self._evaluate)]
        if comm.is_main_process():
            evaluation += acting_on_evaluations(
                parts, self.history, model=self.validated, best=self.output / BEST
            )
        if options.patience:
            evaluation.append(
                EarlyStopping(self.history, period=parts.eval_period, patience=options.patience)
            )
        found += evaluation
        if options.keep_best or options.patience:
            found.append(MissedEvaluation(self.history, evaluation, period=parts.eval_period))
        if comm.is_main_process():
            # Last, so that results of the evaluation are written too.
            found.append(hooks.PeriodicWriter(self.build_writers(), period=parts.log_period))
        return found

    def build_writers(self) -> list[EventWriter]:
        """Return Detectron2's writers (terminal, metrics.json, TensorBoard) and the trackers."""
        settings = {**self.parts.settings, **self.parts.options._asdict()}
        trackers = [TRACKERS[name](self.output, settings) for name in self.parts.options.trackers]
        return [*default_writers(self.parts.output_dir, self.max_iter), *trackers]

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on with the last checkpoint of the output folder, or start from the weights.

        Args:
            resume: go on if there is a checkpoint.

        Raises:
            FileNotFoundError: no such weights.
            CheckpointError: weights that do not belong to the model.
        """
        if not (resume and self.checkpointer.has_checkpoint()):
            if resume:
                logger.info("%s has no checkpoint to resume from", self.output)
            self.checkpointer.start_from(self.parts.weights)
            return
        rates = base_rates(self.parts.optimizer)
        self.checkpointer.resume_or_load("", resume=True)
        self.start_iter = self.iter + 1
        logger.info(
            "Resuming %s: %s of %s iterations are done; %s",
            self.checkpointer.get_checkpoint_file(),
            f"{self.start_iter:,}",
            f"{self.max_iter:,}",
            resume_learning_rates(self.parts.optimizer, self.parts.schedule, rates),
        )
        if self.parts.options.keep_best or self.parts.options.patience:
            self.history.read(iterations=self.start_iter)
        if self.ema is not None and self.ema.n_averaged == 0:
            # The checkpoint is of a training without average.
            self.ema.module.load_state_dict(self.parts.model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs, as Detectron2 main does.

        Detectron2 v0.6 leaves out ``_trainer``, and with it the state of the optimizer.
        """
        return {**TrainerBase.state_dict(self), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a training, also one of version 0.1.0."""
        TrainerBase.load_state_dict(self, state_dict)
        if "_trainer" in state_dict:
            self._trainer.load_state_dict(state_dict["_trainer"])
        elif "optimizer" in state_dict:  # of a LazyConfig in version 0.1.0
            self._trainer.load_state_dict(state_dict)
        else:  # of a YAML config in version 0.1.0 on Detectron2 v0.6
            logger.warning(
                "The checkpoint has no state of the optimizer: its momentum starts from nothing"
            )
            for group in self.parts.optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])

    def train(self) -> dict[str, Any]:
        """Train to the last iteration or the early stop; return the last evaluation's results."""
        if self.start_iter >= self.max_iter and not self._ended_too_early():
            logger.warning(
                "Nothing to do: %s of %s iterations are done. Raise SOLVER.MAX_ITER (YAML), "
                "train.max_iter (LazyConfig) or --epochs (vfnet train) to train on",
                f"{self.start_iter:,}",
                f"{self.max_iter:,}",
            )
            return {}
        if comm.is_main_process():
            remove_leftovers(self.output, names=("model_*", "last_checkpoint*", f"{HISTORY}*"))
        try:
            with self.preemption.watching(), needed(self.output):
                TrainerBase.train(self, self.start_iter, self.max_iter)
        except EarlyStopError:
            if comm.is_main_process():
                self.checkpointer.save(Path(FINAL).stem, iteration=self.iter)
        except PreemptedError as preempted:
            self._save_state()
            preempted.report(self.checkpointer.get_checkpoint_file(), done=self.iter + 1)
            raise
        if comm.is_main_process():
            if self.ema is not None:
                done = min(self.iter + 1, self.max_iter)
                save_weights(
                    self.output / FINAL_EMA, self.ema.module, done, metadata=self.parts.metadata
                )
            if self.parts.options.keep_best:
                logger.info(self.history.summary(best=self.output / BEST, last=self.output / FINAL))
        return dict(self.last_results)

    def _save_state(self) -> None:
        """Save what was not saved in this iteration, and wait for it in all processes."""
        saved = (self.iter + 1) % self.parts.checkpoint_period == 0
        if comm.is_main_process() and not saved and self.iter + 1 < self.max_iter:
            self.checkpointer.save(f"model_{self.iter:07d}", iteration=self.iter)
        comm.synchronize()

    def _ended_too_early(self) -> bool:
        """Whether all iterations are done, but not what follows them, such as the evaluation."""
        options, missing = self.parts.options, False
        if comm.is_main_process() and self.start_iter == self.max_iter:
            evaluated = any(entry.iterations == self.max_iter for entry in self.history.entries)
            missing = (options.keep_best or options.patience > 0) and not evaluated
            missing |= self.ema is not None and not (self.output / FINAL_EMA).exists()
        return any(comm.all_gather(missing))

    @property
    def validated(self) -> nn.Module:
        """The model that is evaluated and kept: the average of the weights if there is one."""
        return self.ema.module if self.ema is not None else self.parts.model

    def _evaluate(self) -> dict[str, Any]:
        """Evaluate in all processes."""
        share_buffers(self.validated)
        with self.preemption.interrupting():
            self.last_results = self.parts.evaluate(self.validated, self.parts.test_sets)
        return self.last_results
