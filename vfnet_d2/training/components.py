"""What a training is made of, whichever config system it comes from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from detectron2.engine import HookBase
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset, print_csv_format
from detectron2.utils import comm
from torch import nn

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.metadata import Metadata
from vfnet_d2.config import TrainingOptions


class PictureSource(NamedTuple):
    """What pictures of a training are drawn of.

    Attributes:
        train_set: name of the training set, for its class names.
        test_set: name of the set that validation images are taken from.
        input_format: "RGB" or "BGR", of the model's inputs.
        mapper: makes a model input of a dataset dict of the test set.
    """

    train_set: str
    test_set: str
    input_format: str
    mapper: Callable[[dict[str, Any]], dict[str, Any]]


class EvaluationSet(NamedTuple):
    """A dataset to evaluate on.

    Attributes:
        name: of the registered dataset.
        loader: makes the data loader.
        evaluator: makes the evaluator.
    """

    name: str
    loader: Callable[[], Iterable[Any]]
    evaluator: Callable[[], DatasetEvaluator]


def evaluate(model: nn.Module, test_sets: Sequence[EvaluationSet]) -> dict[str, Any]:
    """Evaluate a model on test sets and print the results.

    Args:
        model: of this process; all processes take part.
        test_sets: each with an evaluator of its own.

    Returns:
        results by task, such as "bbox"; of several test sets, these by name. Empty in all processes
        but the main one.
    """
    found: dict[str, Any] = {}
    for test_set in test_sets:
        results = inference_on_dataset(model, test_set.loader(), test_set.evaluator())
        if comm.is_main_process():
            print_csv_format(results)
        found[test_set.name] = dict(results)
    return found if len(found) != 1 else dict(next(iter(found.values())))


class Components(NamedTuple):
    """The parts that a :class:`~vfnet_d2.training.trainer.Trainer` puts together.

    Attributes:
        model: on its device, without wrappers.
        train_loader: yields batches without end.
        optimizer: of the model's parameters.
        schedule: a torch learning-rate scheduler, or an fvcore ``ParamScheduler`` of multipliers.
        checkpointer: of the model, writing into the output folder.
        weights: to start from; "" for none.
        max_iter: iterations in all.
        output_dir: folder of checkpoints and logs.
        test_sets: to evaluate on; the first one chooses the best model.
        eval_period: iterations between evaluations; 0 for one at the end alone.
        checkpoint_period: iterations between checkpoints that can be resumed from.
        max_to_keep: most of these; None for all.
        log_period: iterations between lines of the log.
        precision: "bfloat16" or "float16" of mixed precision; None for float32.
        options: beyond these.
        metadata: what checkpoints say about themselves, or None.
        pictures: what pictures are drawn of; None draws none.
        hooks: further ones, run after the schedule and before checkpoints are written.
        settings: what experiment trackers are told about the run.
        evaluate: see :func:`evaluate`.
    """

    model: nn.Module
    train_loader: Iterable[Any]
    optimizer: torch.optim.Optimizer
    schedule: Any
    checkpointer: CheckedCheckpointer
    weights: str
    max_iter: int
    output_dir: str
    test_sets: Sequence[EvaluationSet]
    eval_period: int
    checkpoint_period: int
    max_to_keep: int | None = None
    log_period: int = 20
    precision: str | None = None
    options: TrainingOptions = TrainingOptions()
    metadata: Metadata | None = None
    pictures: PictureSource | None = None
    hooks: Sequence[HookBase] = ()
    settings: Mapping[str, Any] = {}
    evaluate: Callable[[nn.Module, Sequence[EvaluationSet]], dict[str, Any]] = evaluate


def box_ap(results: dict[str, Any]) -> float:
    """Return the box AP, in percent, of the first test set of :func:`evaluate`'s results."""
    first = results if "bbox" in results else next(iter(results.values()))
    return float(first["bbox"]["AP"])
