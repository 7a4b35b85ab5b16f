"""A pretended GPU: code that mixes its tensors with those of the CPU fails, as on a real one.

Tensors on the device "cuda" are wrappers that compute on the CPU. So a whole model runs "on the
GPU" on a machine without one, through its branches for GPUs, and gives the CPU's numbers; but an
operation that is given tensors of both kinds raises. Kernels, precision and speed of a real GPU
stay untested.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

DEVICE = torch.device("cuda", 0)
# What PyTorch allows between devices, 0-dimensional tensors aside: copies, and indices on the CPU.
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
_MIXING = ("copy_", "_to_copy", *_INDEXING)


class OnDevice(Tensor):
    """A tensor that pretends to be on ``DEVICE``."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> "OnDevice":
        """Wrap ``values``, a tensor on the CPU."""
        wrapper: OnDevice = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            # autograd runs the backward pass of this device in the calling thread
            device="meta",
            requires_grad=values.requires_grad,
        )
        wrapper.values = values.detach()
        return wrapper

    @property
    def device(self) -> torch.device:
        """``DEVICE``."""
        return DEVICE

    @property
    def is_cuda(self) -> bool:
        """True."""
        return True

    def tolist(self) -> Any:
        """Plain Python numbers."""
        return self.values.tolist()

    # The next two make tensors of lists, which PyTorch does without telling the mode.
    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        """A tensor of ``data`` on this device."""
        return OnDevice(torch.tensor(data, dtype=options.get("dtype", self.dtype)))

    def __getitem__(self, index: Any) -> Tensor:
        """Index, also with a list."""
        return super().__getitem__(OnDevice(torch.tensor(index)) if type(index) is list else index)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """Context in which ``device="cuda"`` makes tensors of :class:`OnDevice`."""

    # PyTorch does not look for a driver when a mode of this kind is on.
    _mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __enter__(self) -> "SecondDevice":
        torch._C._ensureCUDADeviceGuardSet()
        # torch.tensor(..., device="cuda") copies from the CPU, which this mode sees
        self._lift_before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(self._lift_before)
        super().__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """Check the devices, compute on the CPU, wrap."""
    tensors = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)]
    there = {id(x.values): x for x in tensors if isinstance(x, OnDevice)}
    here = [x for x in tensors if not isinstance(x, OnDevice) and x.dim() > 0]
    name = func.__name__.partition(".")[0]  # type: ignore[attr-defined]
    # an index may be on the CPU, what is indexed may not
    indexed = name in _INDEXING and not isinstance(args[0], OnDevice)
    if there and here and (name not in _MIXING or indexed):
        shapes = [(type(x).__name__, tuple(x.shape)) for x in tensors]
        raise RuntimeError(f"{name} got tensors on two devices: {shapes}")
    wrap = bool(there)
    if kwargs.get("device") is not None:
        wrap = torch.device(kwargs["device"]).type in (DEVICE.type, "meta")
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map_only(OnDevice, lambda x: x.values, (args, kwargs))
    result = func(*args, **kwargs)
    if not wrap:
        return result
    # what an in-place operation returns is its argument, not another tensor
    return tree_map_only(Tensor, lambda x: there[id(x)] if id(x) in there else OnDevice(x), result)
