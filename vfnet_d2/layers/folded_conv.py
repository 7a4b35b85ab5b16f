"""Convolution and fixed batch norm as one convolution, where no gradient is kept."""

from typing import Any

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn


class FoldedConv2d(Conv2d):
    """Detectron2's ``Conv2d`` that scales its weights instead of its output by a fixed norm.

    Batch norm on stored statistics multiplies and shifts every channel, as the convolution before
    it can do itself: that saves a pass over the map. The weights are scaled at each call, a cost
    that does not grow with the image, so there is nothing to keep in step with the parameters.
    Where a gradient is kept the norm stays a pass of its own, which costs no more there; in a trace
    it does too, for those who count or export its operations.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W'), with norm and activation where given."""
        if torch.jit.is_tracing() or not is_fixed(self.norm) or self._keeps_gradient(x):
            return super().forward(x)
        x = self._conv_forward(x, *folded(self.weight, self.bias, self.norm))
        return x if self.activation is None else self.activation(x)

    def _keeps_gradient(self, x: Tensor) -> bool:
        """Return whether a graph is made here; frozen stages make none, in training neither."""
        tensors = (x, self.weight, self.bias, self.norm.weight, self.norm.bias)
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def is_fixed(norm: Any) -> bool:
    """Return whether a norm uses stored statistics now, so that it is the same for every input."""
    return getattr(norm, "running_var", None) is not None and not (
        # Detectron2's FrozenBatchNorm2d is fixed also in training mode.
        norm.training and isinstance(norm, nn.modules.batchnorm._BatchNorm)
    )


def folded(weight: Tensor, bias: Tensor | None, norm: Any) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that also does a fixed norm's work.

    PyTorch's ``fuse_conv_bn_weights`` makes parameters of them, which ``torch.compile`` refuses.

    Args:
        weight: (O, C / groups, kernel height, kernel width).
        bias: (O,) or None.
        norm: a norm over O channels with stored statistics.
    """
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return weight * scale[:, None, None, None], shift


def fold_norms(module: nn.Module) -> None:
    """Replace every plain Detectron2 ``Conv2d`` with a norm by a :class:`FoldedConv2d`.

    The replacements have the same parameters, buffers and names. Subclasses of ``Conv2d``, which
    may compute something else, stay as they are. Replace before anything else holds a reference to
    the convolutions.

    Args:
        module: whose descendants are replaced, in place.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is Conv2d and child.norm is not None:
                setattr(parent, name, folded_like(child))


def folded_like(conv: Conv2d) -> FoldedConv2d:
    """Return a convolution with the settings of ``conv`` that shares its parameters and norm."""
    with torch.device("meta"):  # takes no memory, and no numbers from the random generator
        made = FoldedConv2d(
            conv.in_channels,
            conv.out_channels,
            kernel_size=conv.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            norm=conv.norm,
            activation=conv.activation,
        )
    made.weight, made.bias = conv.weight, conv.bias
    made.training = conv.training
    return made
