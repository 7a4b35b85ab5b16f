"""Which implementation of a deformable operation runs: a table by type of device.

The implementations of an operation are equal up to rounding:

- ``"torchvision"``: torchvision's ``deform_conv2d`` kernel.
- ``"gather"``: a weighted gather and a matrix product (:mod:`vfnet_d2.layers.deform.gather_conv`),
  for 3x3 kernels with padding 1.
- ``"grid_sample"``: PyTorch's own bilinear sampling (:mod:`vfnet_d2.layers.deform.grid_sample`),
  which every exporter knows.

``MODEL.ONE_STAGE.DEFORM_CONV`` names one of them for all layers of a detector, or "auto" for the
tables below. What runs depends on the config, the type of device and whether the model is being
traced, and on nothing that is measured: runs and ranks that agree in these compute the same.
"""

import logging
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import nn

AUTO = "auto"
IMPLEMENTATIONS = ("torchvision", "gather", "grid_sample")
# Takes every geometry, so it serves where the gather does not.
_ANY_GEOMETRY = "torchvision"

logger = logging.getLogger(__name__)


class Backends(NamedTuple):
    """Implementations of an operation that "auto" stands for.

    Attributes:
        by_device: by type of device, "cpu", "cuda", ...
        elsewhere: on all other types of device.
        traced: of models that are traced, compiled or exported, whatever the device.
    """

    by_device: Mapping[str, str]
    elsewhere: str
    traced: str


# On CPUs the gather takes a fraction of the kernel's time; docs/performance.md has the figures.
# Nothing was measured on a GPU yet: there the kernel that was written for GPUs runs.
STAR_BACKENDS = Backends({"cpu": "gather"}, elsewhere="torchvision", traced="grid_sample")
MODULATED_BACKENDS = Backends({"cpu": "gather"}, elsewhere="torchvision", traced="torchvision")


def is_traced() -> bool:
    """Return whether the model is being traced, compiled or exported right now."""
    return bool(torch.jit.is_tracing() or torch.compiler.is_compiling())


def resolve(
    backends: Backends, wanted: str, device_type: str, *, gatherable: bool, traced: bool
) -> str:
    """Return the name of the implementation that runs.

    Args:
        backends: of the operation.
        wanted: a name in ``IMPLEMENTATIONS``, or "auto".
        device_type: "cpu", "cuda", ...
        gatherable: whether "gather" can compute the layer's geometry; if not, torchvision's kernel
            takes its place.
        traced: see :func:`is_traced`.
    """
    name = wanted
    if name == AUTO:
        by_device = backends.by_device.get(device_type, backends.elsewhere)
        name = backends.traced if traced else by_device
    return _ANY_GEOMETRY if name == "gather" and not gatherable else name


class DeformableLayer:
    """Mixin of layers that :func:`set_deform_conv` gives an implementation.

    Attributes:
        backends: what "auto" stands for.
        implementation: a name in ``IMPLEMENTATIONS``, or "auto".
    """

    backends: ClassVar[Backends]
    implementation: str = AUTO

    def is_gatherable(self) -> bool:
        """Return whether "gather" can compute the layer's geometry."""
        return True

    def backend(self, device_type: str) -> str:
        """Return the name of the implementation that runs for inputs on a type of device."""
        return resolve(
            self.backends,
            self.implementation,
            device_type,
            gatherable=self.is_gatherable(),
            traced=is_traced(),
        )


def set_deform_conv(model: nn.Module, implementation: str) -> None:
    """Choose the implementation of all deformable and star convolutions of a model.

    Log a warning where layers have a geometry that the chosen implementation lacks.

    Args:
        model: whose layers are set.
        implementation: a name in ``IMPLEMENTATIONS``, or "auto".

    Raises:
        ValueError: unknown implementation.
    """
    known = (AUTO, *IMPLEMENTATIONS)
    if implementation not in known:
        raise ValueError(
            f"deform_conv (MODEL.ONE_STAGE.DEFORM_CONV) is {implementation!r}; "
            f"choose one of {known}"
        )
    layers = {n: x for n, x in model.named_modules() if isinstance(x, DeformableLayer)}
    for layer in layers.values():
        layer.implementation = implementation
    others = [name for name, layer in layers.items() if not layer.is_gatherable()]
    if implementation == "gather" and others:
        logger.warning(
            "deform_conv (MODEL.ONE_STAGE.DEFORM_CONV) is 'gather', which computes 3x3 kernels "
            "with padding 1 only; %r computes these: %s.",
            _ANY_GEOMETRY,
            ", ".join(others),
        )
