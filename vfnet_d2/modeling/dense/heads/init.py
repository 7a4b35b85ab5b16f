"""How the weights of a dense head start."""

import math

from torch import nn

from vfnet_d2.layers.deform.star_conv import StarConv2d


def init_head(head: nn.Module, classifier: nn.Conv2d, *, std: float, prior_prob: float) -> None:
    """Draw a head's weights (RetinaNet, ICCV 2017, Sec. 4.1; norms and scales stay as built).

    Args:
        head: the convolutions in it get normal weights and biases of 0.
        classifier: the one that predicts the classes: its bias makes every score ``prior_prob``.
        std: standard deviation of the weights.
        prior_prob: foreground score to start from, between 0 and 1.
    """
    for module in head.modules():
        if isinstance(module, (nn.Conv2d, StarConv2d)):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    assert classifier.bias is not None
    nn.init.constant_(classifier.bias, -math.log((1 - prior_prob) / prior_prob))
