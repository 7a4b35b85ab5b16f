"""Tests of vfnet_d2.training.command_line."""

import argparse
import sys

import pytest
from detectron2.utils import comm

from vfnet_d2.training.command_line import check_batch_size, run_command_line
from vfnet_d2.utils.errors import UserError


@pytest.mark.parametrize(("size", "advice"), [(3, "such as 4"), (1, "such as 2")])
def test_a_batch_that_processes_cannot_share(
    size: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    check_batch_size(4, key="K")
    with pytest.raises(UserError, match=f"K is {size}, which 2 processes .*{advice}"):
        check_batch_size(size, key="K")


def _mistaken(args: argparse.Namespace) -> None:
    raise UserError("the value is wrong")


def _broken(args: argparse.Namespace) -> None:
    raise RuntimeError("a mistake of ours")


def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--num-gpus", "0"])
    with pytest.raises(SystemExit) as status:
        run_command_line(_mistaken)
    assert status.value.code == 2
    assert capsys.readouterr().err == "train_net.py: error: the value is wrong\n"
    with pytest.raises(RuntimeError):
        run_command_line(_broken)
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--num-gpus", "0", "--debug"])
    with pytest.raises(UserError):
        run_command_line(_mistaken)


def test_a_mistake_in_a_process_of_several_is_told_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ["train_net.py", "--num-gpus", "0", "--num-processes", "2"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as status:
        run_command_line(_mistaken)
    assert status.value.code == 2
