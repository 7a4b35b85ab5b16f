"""Tests of vfnet_d2.training.hooks.preemption; whole trainings are in tests/test_faults.py."""

import os
import signal
import subprocess
import sys

import pytest
from detectron2.engine.train_loop import TrainerBase

from tests.helpers.reference import ROOT
from vfnet_d2.training.hooks import preemption
from vfnet_d2.training.hooks.preemption import PreemptedError, Preemption, resume_command


class Counting(TrainerBase):
    """Sends itself a signal in its second step."""

    def __init__(self, hook: Preemption, number: int) -> None:
        super().__init__()
        self.register_hooks([hook])
        self.number = number
        self.steps = 0

    def run_step(self) -> None:
        """See TrainerBase."""
        self.steps += 1
        if self.steps == 2:
            os.kill(os.getpid(), self.number)
            self.ended = True


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_the_step_is_done_and_no_further_one(number: int, status: int) -> None:
    hook = Preemption()
    trainer = Counting(hook, number)
    before = signal.getsignal(number)
    with pytest.raises(PreemptedError) as ended, hook.watching():
        trainer.train(0, 10)
    assert ended.value.code == status
    assert trainer.steps == 2 and trainer.ended
    assert signal.getsignal(number) == before


def test_every_process_ends_when_another_one_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preemption.comm, "all_gather", lambda mine: [mine, signal.SIGTERM])
    with pytest.raises(PreemptedError) as ended:
        Preemption().after_step()
    assert ended.value.code == 143


def test_an_evaluation_is_not_waited_for() -> None:
    hook = Preemption()
    with pytest.raises(PreemptedError), hook.watching(), hook.interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")


def test_a_worker_that_the_same_signal_ended_is_no_failure() -> None:
    hook = Preemption()
    with pytest.raises(PreemptedError), hook.watching(), hook.interrupting():
        hook._asked = signal.SIGTERM
        raise RuntimeError("DataLoader worker is killed by signal: Terminated")


def test_an_evaluation_of_several_processes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preemption.comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(preemption.comm, "all_gather", lambda mine: [mine, None])
    hook = Preemption()
    with hook.watching(), hook.interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(PreemptedError):
        hook.after_step()


def test_a_second_interrupt_ends_at_once() -> None:
    code = """
import os, signal, sys, time
from vfnet_d2.training.hooks import preemption
preemption.SAME_SIGNAL = 0.0
with preemption.Preemption().watching():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "saving the state after this iteration" in done.stderr
    assert "ending without saving" in done.stderr


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/bin/vfnet", "train", "my data"], "vfnet train --resume 'my data'"),
        (["/bin/vfnet", "train", "d", "--resume"], "vfnet train d --resume"),
        (["/x/vfnet_d2/__main__.py", "train", "d"], "python -m vfnet_d2 train --resume d"),
        (["train_net.py", "--opts", "A", "1"], "python train_net.py --resume --opts A 1"),
    ],
)
def test_the_command_that_goes_on(argv: list[str], command: str) -> None:
    assert resume_command(argv) == command
