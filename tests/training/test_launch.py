"""Tests of vfnet_d2.training.launch."""

import argparse
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from torch import multiprocessing as mp

from vfnet_d2.training import launch as module
from vfnet_d2.training.launch import argument_parser, create_local_process_group, launch


def arguments(*command: str) -> argparse.Namespace:
    return argument_parser().parse_args([*command])


def test_has_the_arguments_of_detectron2_and_two_more() -> None:
    command = ["--config-file", "a.yaml", "--resume", "--num-machines", "3", "KEY", "VALUE"]
    expected = vars(default_argument_parser().parse_args(command))
    assert vars(arguments(*command)) == {**expected, "num_processes": 1, "debug": False}


def test_one_process_without_gpus_is_this_one() -> None:
    seen = []
    args = arguments("--num-gpus", "0")
    launch(seen.append, args)
    assert seen == [args]


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Records (processes, address) instead of starting processes."""
    calls: list[tuple[int, str]] = []
    monkeypatch.setattr(module.mp, "spawn", lambda _, nprocs, args: calls.append((nprocs, args[2])))
    return calls


def test_the_automatic_address_is_a_free_local_port(spawned: list[tuple[int, str]]) -> None:
    launch(print, arguments("--num-gpus", "0", "--num-processes", "2", "--dist-url", "auto"))
    ((processes, url),) = spawned
    host, port = url.removeprefix("tcp://").split(":")
    assert (processes, host) == (2, "127.0.0.1")
    with socket.socket() as server:
        server.bind((host, int(port)))  # refused if somebody listens there


def test_a_given_address_is_used_as_it_is(spawned: list[tuple[int, str]]) -> None:
    url = "tcp://10.0.0.1:2345"
    launch(print, arguments("--num-gpus", "0", "--num-machines", "2", "--dist-url", url))
    assert spawned == [(1, url)]


def test_no_automatic_address_for_several_machines(spawned: list[tuple[int, str]]) -> None:
    with pytest.raises(ValueError, match="one machine only; name tcp://HOST:PORT"):
        launch(print, arguments("--num-gpus", "0", "--num-machines", "2", "--dist-url", "auto"))
    assert not spawned


@pytest.mark.parametrize(("wanted", "available"), [(1, 0), (1, 1), (4, 4), (3, 8)])
def test_gpus_that_are_there(monkeypatch: pytest.MonkeyPatch, wanted: int, available: int) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: available)
    monkeypatch.setattr(module, "launch_on_gpus", lambda *args, **keys: calls.append((args, keys)))
    args = arguments(
        *("--num-gpus", str(wanted), "--num-machines", "2", "--machine-rank", "1"),
        *("--dist-url", "tcp://10.0.0.1:2345"),
    )
    launch(print, args)
    machines = {"num_machines": 2, "machine_rank": 1, "dist_url": "tcp://10.0.0.1:2345"}
    assert calls == [((print, wanted), {**machines, "args": (args,)})]


@pytest.mark.parametrize(("wanted", "available"), [(2, 0), (2, 1), (5, 4)])
def test_gpus_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, wanted: int, available: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: available)
    with pytest.raises(ValueError, match=rf"--num-gpus {wanted}, but {available} are visible"):
        launch(print, arguments("--num-gpus", str(wanted)))


@pytest.mark.parametrize("count", ["0", "-2"])
def test_fewer_processes_than_one(spawned: list[tuple[int, str]], count: str) -> None:
    with pytest.raises(ValueError, match=f"--num-processes {count}"):
        launch(print, arguments("--num-gpus", "0", "--num-processes", count))


def test_processes_beside_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "launch_on_gpus", lambda *args, **keys: None)
    with pytest.raises(ValueError, match="--num-processes 2 is for --num-gpus 0"):
        launch(print, arguments("--num-processes", "2"))


def test_detectron2s_own_local_group_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(comm, "create_local_process_group", sizes.append, raising=False)
    create_local_process_group(3)
    assert sizes == [3]


def report(args: argparse.Namespace) -> None:
    """What a process knows of its place, and a sum over all processes."""
    total = torch.tensor([float(comm.get_rank())])
    dist.all_reduce(total)
    local = [comm.get_local_rank(), comm.get_local_size()]
    place = [args.machine_rank, *local, comm.get_world_size(), total.item()]
    Path(args.opts[0], f"{comm.get_rank()}.json").write_text(json.dumps(place))


def machine(index: int, url: str, output: str, keep_function: bool) -> None:
    """One process of four: two machines have two each."""
    if not keep_function and hasattr(comm, "create_local_process_group"):
        del comm.create_local_process_group
    rank, local = divmod(index, 2)
    command = ["--num-gpus", "0", "--num-machines", "2", "--machine-rank", str(rank)]
    args = arguments(*command, "--num-processes", "2", output)
    module._cpu_worker(local, report, args, url)


# Detectron2 v0.6 lacks the function; without it Detectron2 main must come to the same.
@pytest.mark.parametrize("keep_function", [True, False])
def test_ranks_of_two_machines_with_two_processes(tmp_path: Path, keep_function: bool) -> None:
    url = f"file://{tmp_path}/rendezvous"
    # Forked, since a fresh interpreter takes seconds to import Detectron2.
    mp.start_processes(
        machine, args=(url, str(tmp_path), keep_function), nprocs=4, start_method="fork"
    )
    places = {int(path.stem): json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    # machine, local rank, processes of the machine, all processes, 0 + 1 + 2 + 3
    assert places == {
        0: [0, 0, 2, 4, 6.0],
        1: [0, 1, 2, 4, 6.0],
        2: [1, 0, 2, 4, 6.0],
        3: [1, 1, 2, 4, 6.0],
    }


def torchrun_environment(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    """What torchrun tells the second of two processes, with changes; None leaves one out."""
    told: dict[str, str | None] = {
        **{"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
        **changes,
    }
    for name, value in told.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize("option", ["--num-processes", "--num-machines"])
def test_processes_beside_those_of_torchrun_are_refused(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchrun_environment(monkeypatch)
    with pytest.raises(ValueError, match="torchrun has started the processes of this job already"):
        launch(print, arguments("--num-gpus", "0", option, "2"))


def test_an_environment_of_several_processes_that_is_not_whole_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torchrun_environment(monkeypatch, LOCAL_RANK=None, LOCAL_WORLD_SIZE=None)
    message = "WORLD_SIZE is 2, but LOCAL_RANK, LOCAL_WORLD_SIZE are not set: start .* torchrun"
    with pytest.raises(ValueError, match=message):
        launch(print, arguments("--num-gpus", "0"))


def test_one_process_of_torchrun_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torchrun_environment(
        monkeypatch, RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", LOCAL_WORLD_SIZE="1"
    )
    seen = []
    args = arguments("--num-gpus", "0")
    launch(seen.append, args)
    assert seen == [args]
