"""The devices that a test runs on: the CPU always, a GPU where there is one."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

# The same comparison runs on the CPU, so that it is known to work before a GPU is asked.
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def skip_without_gpu(item: pytest.Item) -> None:
    """Skip a test that is marked ``gpu`` where there is none, and say what it would check."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        purpose = (getattr(item, "obj").__doc__ or item.name).splitlines()[0]  # noqa: B009
        pytest.skip(f"no CUDA device here; on one: {purpose}")


def moved(result: object, device: str) -> object:
    """Move the tensors of a nested structure; leaves stay leaves."""
    return tree_map_only(
        torch.Tensor,
        lambda x: x.detach().to(device).requires_grad_(x.requires_grad),
        result,
    )


class WaitsForDevice(TorchDispatchMode):
    """Count what makes a program wait for its device: sizes and numbers that depend on values.

    On a GPU each of these operations empties the queue of kernels. Copies to the CPU of tensors
    that are there already do not count, so on the CPU the number is a lower bound.
    """

    _WAITING = ("nonzero", "_local_scalar_dense", "_unique2", "unique_dim", "masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.__name__.partition(".")[0]
        indices = args[1] if name.startswith(("index", "_index_put")) else ()
        by_mask = isinstance(indices, list | tuple) and any(
            isinstance(i, torch.Tensor) and i.dtype is torch.bool for i in indices
        )
        leaves = isinstance(args[0] if args else None, torch.Tensor) and args[0].is_cuda
        to_cpu = name == "_to_copy" and leaves and str((kwargs or {}).get("device")) == "cpu"
        if name in self._WAITING or by_mask or to_cpu:
            self.names.append(name)
        return func(*args, **(kwargs or {}))
