"""Parameters and operations of a detector."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.modeling.dense.structures import BoxStage
from vfnet_d2.modeling.detector import Detector

# What a normalisation layer stores beside its weight and bias.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def count_parameters(model: nn.Module) -> int:
    """Return the number of weights, those of frozen layers included.

    Detectron2 turns the weights of frozen norms into buffers, so statistics are left out by name.

    Args:
        model: a detector, which keeps nothing but weights and statistics in its state.
    """
    state = model.state_dict().items()
    return sum(value.numel() for name, value in state if not name.endswith(STATISTICS))


def count_flops(model: Any, height: int, width: int) -> int:
    """Return the multiply-adds of backbone, pyramid and head for one image.

    Counted as fvcore does: a multiply-add is one, norms included, activations and sums left out.
    The network is run once on an empty image.

    Args:
        model: a detector on the CPU; it is put into evaluation mode. While it is counted, its star
            convolutions are of the implementation that is one operation.
        height: of the padded image, a multiple of 32.
        width: likewise.
    """
    model.eval()
    analysis = FlopCountAnalysis(_Network(model), torch.zeros(1, 3, height, width))
    analysis.set_op_handle("torchvision::deform_conv2d", deform_conv_flops)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad(), _stars_as_one_operation(model):
        return int(analysis.total())


@contextlib.contextmanager
def _stars_as_one_operation(model: nn.Module) -> Iterator[None]:
    stars = [module for module in model.modules() if isinstance(module, StarConv2d)]
    before = [star.implementation for star in stars]
    try:
        for star in stars:
            star.implementation = "torchvision"
        yield
    finally:
        for star, implementation in zip(stars, before, strict=True):
            star.implementation = implementation


class _Network(nn.Module):
    """The part of a detector that is the same for every image of a size."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        # What reaches no output is left out of the trace.
        return tuple(_tensors_in(self.model.network(images)))


def _tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in a network's outputs, the maps of box stages included."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, BoxStage):
        yield from value.maps()
    elif isinstance(value, Mapping):
        yield from _tensors_in(list(value.values()))
    elif isinstance(value, Sequence):
        for item in value:
            yield from _tensors_in(item)


def deform_conv_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-adds of ``torchvision.ops.deform_conv2d``, a handler for fvcore.

    Those of a plain convolution, and for each sample four for the bilinear interpolation, as fvcore
    counts ``grid_sample``. A modulated one multiplies each sample by its mask.

    Args:
        inputs: of the operation: image (N, C, H, W), weight (O, C / groups, h, w), offsets, mask,
            ..., the last of them whether there is a mask.
        outputs: (N, O, H', W').
    """
    image, weight = (value.type().sizes() for value in inputs[:2])
    result = outputs[0].type().sizes()
    places = result[0] * prod(result[2:])
    samples = places * image[1] * prod(weight[2:])
    use_mask = bool(inputs[-1].toIValue())
    return places * prod(weight) + samples * (5 if use_mask else 4)
