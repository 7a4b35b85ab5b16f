"""Stacks of 3x3 convolution, norm and ReLU that the levels of a head share."""

from detectron2.layers import Conv2d, get_norm
from torch import nn

from vfnet_d2.layers.deform.modulated_conv import ModulatedDeformConv2d


def conv_norm_relu(
    in_channels: int, out_channels: int, *, norm: str = "GN", conv: type[Conv2d] = Conv2d
) -> Conv2d:
    """Return a 3x3 convolution followed by ``norm`` and ReLU, spatial size kept.

    Args:
        in_channels: channels of the input (N, C, H, W).
        out_channels: channels of the output.
        norm: a norm name of Detectron2's ``get_norm``; with "" the convolution has a bias.
        conv: Detectron2's ``Conv2d`` or a subclass of it.
    """
    return conv(
        in_channels,
        out_channels,
        kernel_size=3,
        padding=1,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=nn.functional.relu,
    )


class ConvTower(nn.Sequential):
    """``num_convs`` blocks of 3x3 convolution, norm and ReLU.

    Args:
        in_channels: channels of the input (N, C, H, W).
        channels: channels of every block's output.
        num_convs: number of blocks; 0 makes the identity.
        norm: see :func:`conv_norm_relu`.
        deform_last: make the last convolution a modulated deformable one.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        num_convs: int,
        norm: str = "GN",
        deform_last: bool = False,
    ) -> None:
        inputs = [in_channels] + [channels] * (num_convs - 1)
        kinds: list[type[Conv2d]] = [Conv2d] * num_convs
        if deform_last and num_convs:
            kinds[-1] = ModulatedDeformConv2d
        super().__init__(
            *(
                conv_norm_relu(inputs[index], channels, norm=norm, conv=kind)
                for index, kind in enumerate(kinds)
            )
        )
