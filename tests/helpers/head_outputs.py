"""What a head predicts, as plain lists of maps."""

from torch import Tensor

from vfnet_d2.modeling.dense.structures import HeadOutputs


def maps_of(
    outputs: HeadOutputs,
) -> tuple[list[Tensor], list[list[Tensor]], list[Tensor] | None]:
    """Logits, boxes of each stage and quality, each a list of maps per level."""
    return outputs.logits, [stage.maps() for stage in outputs.boxes], outputs.quality
