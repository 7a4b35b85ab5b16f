"""Starting the processes of a job: Detectron2's launcher, and its counterpart without GPUs."""

import argparse
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from detectron2.engine import default_argument_parser
from detectron2.engine import launch as launch_on_gpus
from detectron2.utils import comm
from torch import multiprocessing as mp

from vfnet_d2.training.signals import passed_to_children

# What torchrun tells each of its processes.
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def argument_parser() -> argparse.ArgumentParser:
    """Return Detectron2's usual arguments, ``--num-processes`` and ``--debug``."""
    parser = default_argument_parser()
    parser.add_argument(
        "--num-processes",
        type=int,
        default=1,
        help="training processes per machine with --num-gpus 0; they share the CPU cores",
    )
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of every error, also of a mistake"
    )
    return parser


def launch(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> None:
    """Run ``main(args)`` in every process that the arguments ask for.

    With GPUs this is Detectron2's ``launch``. With ``--num-gpus 0`` and several processes or
    machines, the processes talk over gloo. A process that torchrun (or another launcher that sets
    its environment variables) has started already takes its place in that job instead.

    Raises:
        ValueError: more GPUs are asked for than this machine has, fewer processes than one,
            processes beside GPUs, "auto" as the address of several machines, or processes that
            torchrun has started already.
    """
    _check_processes(args.num_processes, args.num_gpus)
    if started_by_torchrun(args.num_machines):
        _run_under_torchrun(main, args)
        return
    if args.num_gpus > 0:
        _check_gpus(args.num_gpus)
        several = args.num_gpus * args.num_machines > 1
        with passed_to_children() if several else contextlib.nullcontext():
            launch_on_gpus(
                main,
                args.num_gpus,
                num_machines=args.num_machines,
                machine_rank=args.machine_rank,
                dist_url=args.dist_url,
                args=(args,),
            )
        return
    if args.num_processes * args.num_machines == 1:
        main(args)
        return
    url = args.dist_url
    if url == "auto":
        if args.num_machines > 1:
            raise ValueError("--dist-url auto works on one machine only; name tcp://HOST:PORT")
        url = f"tcp://127.0.0.1:{_free_port()}"
    with passed_to_children():
        mp.spawn(_cpu_worker, nprocs=args.num_processes, args=(main, args, url))


def started_by_torchrun(num_machines: int = 1) -> bool:
    """Return whether this process is one of a job that torchrun, or the like, has started.

    Args:
        num_machines: as the command line says.

    Raises:
        ValueError: the environment speaks of several processes, but not of this one's place among
            those of its machine; each of them would train alone into the same folder.
    """
    missing = [name for name in TORCHRUN if name not in os.environ]
    if missing and num_machines == 1 and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} are not set: "
            "start the processes with torchrun, which sets all of them, or name this machine with "
            "--num-machines, --machine-rank and --dist-url"
        )
    return not missing


def _run_under_torchrun(
    main: Callable[[argparse.Namespace], Any], args: argparse.Namespace
) -> None:
    """Join the job that the environment describes, and run in it."""
    if args.num_processes > 1 or args.num_machines > 1:
        raise ValueError(
            "torchrun has started the processes of this job already (RANK and WORLD_SIZE are set): "
            "leave out --num-processes and --num-machines, and use torchrun's --nproc-per-node and "
            "--nnodes"
        )
    local_rank, local_size = (int(os.environ[name]) for name in TORCHRUN[2:])
    on_gpu = args.num_gpus > 0 and torch.cuda.is_available()
    if on_gpu:
        _check_gpus(local_size)
        torch.cuda.set_device(local_rank)
    if os.environ["WORLD_SIZE"] == "1":
        main(args)
        return
    dist.init_process_group(backend="nccl" if on_gpu else "gloo")
    try:
        create_local_process_group(local_size)
        comm.synchronize()
        main(args)
    finally:
        dist.destroy_process_group()


def _check_processes(num_processes: int, num_gpus: int) -> None:
    if num_processes < 1:
        raise ValueError(f"--num-processes {num_processes} must be 1 or more")
    if num_processes > 1 and num_gpus > 0:
        raise ValueError(
            f"--num-processes {num_processes} is for --num-gpus 0, but --num-gpus is {num_gpus} "
            "(1 unless given); with GPUs there is one process for each"
        )


def _check_gpus(num_gpus: int) -> None:
    # One process runs on the CPU as well: Detectron2's default is --num-gpus 1.
    available = torch.cuda.device_count()
    if num_gpus > max(available, 1):
        raise ValueError(
            f"--num-gpus {num_gpus}, but {available} are visible; ask for at most that many, or "
            "use --num-gpus 0 --num-processes N to train on the CPU"
        )


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _cpu_worker(
    local_rank: int,
    main: Callable[[argparse.Namespace], Any],
    args: argparse.Namespace,
    url: str,
) -> None:
    """One of ``--num-processes`` processes of this machine."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo") if "127.0.0.1" in url else None
    torch.set_num_threads(max(1, torch.get_num_threads() // args.num_processes))
    dist.init_process_group(
        backend="gloo",
        init_method=url,
        world_size=args.num_processes * args.num_machines,
        rank=args.machine_rank * args.num_processes + local_rank,
    )
    create_local_process_group(args.num_processes)
    comm.synchronize()
    try:
        main(args)
    finally:
        dist.destroy_process_group()


def create_local_process_group(processes_per_machine: int) -> None:
    """Tell Detectron2's ``comm`` which ranks share this machine.

    Detectron2 main has a function for it; v0.6 does it inside its GPU launcher only.
    """
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(processes_per_machine)
        return
    for first in range(0, comm.get_world_size(), processes_per_machine):
        ranks = list(range(first, first + processes_per_machine))
        group = dist.new_group(ranks)
        if comm.get_rank() in ranks:
            comm._LOCAL_PROCESS_GROUP = group
