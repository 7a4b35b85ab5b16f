"""Experiment trackers beside TensorBoard, for those who ask for them: Weights & Biases, MLflow."""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.utils.events import EventWriter, get_event_storage

PROJECT = "vfnet_d2"
# Scalars are smoothed over this many iterations, as Detectron2's own writers do.
_WINDOW = 20
# All that MLflow allows in the name of a metric.
_MLFLOW_REFUSES = re.compile(r"[^\w\-./: ]")


class TrackerWriter(EventWriter):
    """Sends each scalar once; subclasses say where to."""

    def __init__(self) -> None:
        self._last_sent = -1

    def send(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Send what was measured at an iteration."""
        raise NotImplementedError

    def write(self) -> None:
        """Send what is new since the last time, in the order of the iterations."""
        fresh: dict[int, dict[str, float]] = {}
        scalars = get_event_storage().latest_with_smoothing_hint(_WINDOW)
        for name, (value, iteration) in scalars.items():
            if iteration > self._last_sent:
                fresh.setdefault(iteration, {})[name] = float(value)
        for iteration in sorted(fresh):
            self.send(fresh[iteration], iteration)
            self._last_sent = iteration


class WandbWriter(TrackerWriter):
    """Scalars for Weights & Biases, as a run with the name of the output folder.

    Args:
        output: folder of the training.
        settings: of the run.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(
            project=PROJECT, name=output.name, dir=str(output), config=dict(settings)
        )

    def send(self, scalars: Mapping[str, float], iteration: int) -> None:
        """See TrackerWriter."""
        self._run.log(dict(scalars), step=iteration)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class MlflowWriter(TrackerWriter):
    """Scalars for MLflow; arguments as above. Where they go is MLflow's own setting."""

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._mlflow: Any = importlib.import_module("mlflow")
        self._mlflow.set_experiment(PROJECT)
        self._mlflow.start_run(run_name=output.name)
        self._mlflow.log_params(dict(settings))

    def send(self, scalars: Mapping[str, float], iteration: int) -> None:
        """See TrackerWriter."""
        named = {_MLFLOW_REFUSES.sub("_", name): value for name, value in scalars.items()}
        self._mlflow.log_metrics(named, step=iteration)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], TrackerWriter]] = {
    "wandb": WandbWriter,
    "mlflow": MlflowWriter,
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise ValueError if a tracker is unknown or not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"--loggers {name}: unknown; there are {', '.join(TRACKERS)}")
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"--loggers {name}: the package {name} cannot be imported ({error}). Install it "
                f"with `pip install {name}`, or leave it out: TensorBoard files and metrics.json "
                "are written in any case"
            ) from error
