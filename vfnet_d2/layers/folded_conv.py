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
        """Whether a graph is made here; frozen stages make none, in training neither."""
        tensors = (x, self.weight, self.bias, self.norm.weight, self.norm.bias)
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def is_fixed(norm: Any) -> bool:
    """Whether a norm uses stored statistics now: the same factor and shift for every input."""
    return getattr(norm, "running_var", None) is not None and not (
        # Detectron2's FrozenBatchNorm2d is fixed also in training mode.
        norm.training and isinstance(norm, nn.modules.batchnorm._BatchNorm)
    )


def folded(weight: Tensor, bias: Tensor | None, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that also does a fixed norm's work.

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


def set_fold_norms(module: nn.Module, enabled: bool) -> None:
    """Turn every plain Detectron2 ``Conv2d`` with a norm into a :class:`FoldedConv2d`, or back.

    In place; subclasses, which may compute something else, stay as they are. Parameters, their
    names and their values do not change.

    Args:
        module: whose convolutions are turned.
        enabled: False for convolution and norm one after the other, always.
    """
    before, after = (Conv2d, FoldedConv2d) if enabled else (FoldedConv2d, Conv2d)
    for part in module.modules():
        if type(part) is before and part.norm is not None:
            part.__class__ = after
