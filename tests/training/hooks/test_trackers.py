"""Tests of vfnet_d2.training.hooks.trackers, with stand-ins for the packages."""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from detectron2.utils.events import EventStorage

from vfnet_d2.training.hooks.trackers import TRACKERS, MlflowWriter, WandbWriter, check_trackers

OUTPUT = Path("output/mine")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mock]:
    """Stand-ins, by package."""
    fakes = {name: Mock() for name in TRACKERS}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    return fakes


def measure(writer: Any) -> None:
    """Two iterations, each written, and a third time without anything new."""
    with EventStorage() as storage:
        for iteration, loss in enumerate([3.0, 2.0]):
            storage.iter = iteration
            storage.put_scalar("loss", loss, smoothing_hint=False)
            if iteration == 1:
                storage.put_scalar("bbox/AP-a(b)", 50.0, smoothing_hint=False)
            writer.write()
        writer.write()
    writer.close()


def test_wandb_gets_each_scalar_once(sent: dict[str, Mock]) -> None:
    measure(WandbWriter(OUTPUT, {"batch_size": 2}))
    wandb = sent["wandb"]
    assert wandb.init.call_args.kwargs["name"] == "mine"
    assert wandb.init.call_args.kwargs["config"] == {"batch_size": 2}
    run = wandb.init.return_value
    assert [(call.args[0], call.kwargs["step"]) for call in run.log.call_args_list] == [
        ({"loss": 3.0}, 0),
        ({"loss": 2.0, "bbox/AP-a(b)": 50.0}, 1),
    ]
    run.finish.assert_called_once_with()


def test_mlflow_gets_names_that_it_allows(sent: dict[str, Mock]) -> None:
    measure(MlflowWriter(OUTPUT, {"batch_size": 2}))
    mlflow = sent["mlflow"]
    mlflow.start_run.assert_called_once_with(run_name="mine")
    mlflow.log_params.assert_called_once_with({"batch_size": 2})
    assert [(call.args[0], call.kwargs["step"]) for call in mlflow.log_metrics.call_args_list] == [
        ({"loss": 3.0}, 0),
        ({"loss": 2.0, "bbox/AP-a_b_": 50.0}, 1),
    ]
    mlflow.end_run.assert_called_once_with()


def test_trackers_that_are_there_pass(sent: dict[str, Mock]) -> None:
    check_trackers(list(sent))
    check_trackers([])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="pip install wandb"):
        check_trackers(["wandb"])


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(ValueError, match="comet: unknown; there are wandb, mlflow"):
        check_trackers(["comet"])
