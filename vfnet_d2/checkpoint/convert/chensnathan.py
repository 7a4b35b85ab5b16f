"""YOLOF in the names of github.com/chensnathan/YOLOF, which is a project on Detectron2.

Its backbone has Detectron2's names, as ours below ``backbone.bottom_up``. All of its convolutions
have a bias, also those before a BN. Ours have none there, as mmdet's, but in the encoder's first
two layers. With running statistics nothing is lost: BN takes a mean away, so a convolution with
bias b and mean m is one without bias and mean m - b, but for rounding. With batch statistics a bias
does nothing at all. Into ours the biases are therefore folded into the means; the way back writes
biases of zero, which is the same network with other tensors.

The predictors' channels are in our order, anchor by anchor: its decoder takes the outputs (N, A K,
H, W) for (N, A, K, H, W), and lists its anchors cell by cell as Detectron2 does.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from vfnet_d2.checkpoint.convert.backbones import Backbone, backbone_pairs
from vfnet_d2.checkpoint.convert.mmdet_yolof import NUM_BLOCKS, NUM_BOX_CONVS, NUM_CLS_CONVS
from vfnet_d2.checkpoint.convert.pairs import Pair, batch_norm, conv

DETECTOR = "YOLOF"
MARKER = "decoder.object_pred.weight"
CLASSIFIER = "decoder.cls_score"
FOLDED_REASON = "bias before a BN, folded into its running_mean"


class NormedConv(NamedTuple):
    """A convolution and its BN, which ours have under one name."""

    conv: str
    norm: str
    ours: str

    @property
    def pairs(self) -> list[Pair]:
        """Of both, without the convolution's bias."""
        return conv(self.conv, self.ours) + batch_norm(self.norm, f"{self.ours}.norm")


class Folding(NamedTuple):
    """A state dict without biases before BN.

    Attributes:
        state: with their names still.
        ignored: (name, reason) of each bias that is gone.
        missing: names of biases that were not there.
    """

    state: dict[str, Tensor]
    ignored: list[tuple[str, str]]
    missing: list[str]


def normed_convs() -> list[NormedConv]:
    """Every convolution whose bias ours does without."""
    layers = [
        (f"encoder.dilated_encoder_blocks.{block}.{layer}", 0, f"backbone.blocks.{block}.{layer}")
        for block in range(NUM_BLOCKS)
        for layer in ("conv1", "conv2", "conv3")
    ]
    # Convolution, norm, ReLU, and so on.
    layers += [("decoder.cls_subnet", 3 * n, f"head.cls_tower.{n}") for n in range(NUM_CLS_CONVS)]
    layers += [("decoder.bbox_subnet", 3 * n, f"head.box_tower.{n}") for n in range(NUM_BOX_CONVS)]
    return [NormedConv(f"{at}.{n}", f"{at}.{n + 1}", ours) for at, n, ours in layers]


def yolof_pairs(backbone: Backbone) -> list[Pair]:
    """All pairs of the detector, but for the biases that ours does without."""
    pairs = [
        Pair(f"backbone.{pair.ours}", f"backbone.bottom_up.{pair.ours}", pair.optional)
        for pair in backbone_pairs(backbone)
    ]
    for theirs, ours in (("lateral", "lateral"), ("fpn", "output")):
        pairs += conv(f"encoder.{theirs}_conv", f"backbone.{ours}", bias=True)
        pairs += batch_norm(f"encoder.{theirs}_norm", f"backbone.{ours}.norm")
    for layer in normed_convs():
        pairs += layer.pairs
    for theirs, ours in (
        (CLASSIFIER, "cls_pred"),
        ("decoder.bbox_pred", "box_pred"),
        ("decoder.object_pred", "objectness_pred"),
    ):
        pairs += conv(theirs, f"head.{ours}", bias=True)
    return pairs


def fold_biases(state: Mapping[str, Tensor]) -> Folding:
    """Take the biases before BN out of a state dict in their names, without changing the network.

    Args:
        state: tensors by their names; it and they stay as they are.
    """
    folded, ignored, missing = dict(state), [], []
    for layer in normed_convs():
        name, mean = f"{layer.conv}.bias", f"{layer.norm}.running_mean"
        bias = folded.pop(name, None)
        if bias is None:
            missing.append(name)
            continue
        ignored.append((name, FOLDED_REASON))
        if mean in folded:  # otherwise it will be reported
            folded[mean] = folded[mean] - bias
    return Folding(folded, ignored, missing)


def with_zero_biases(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the biases that their layers have and ours do not."""
    zeros = {
        f"{layer.conv}.bias": torch.zeros_like(state[f"{layer.norm}.running_mean"])
        for layer in normed_convs()
    }
    return {**state, **zeros}
