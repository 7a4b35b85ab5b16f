"""VarifocalNet (Zhang et al., CVPR 2021)."""

from typing import Any

from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import Matches
from vfnet_d2.modeling.dense.targets import MIN_IOU


@META_ARCH_REGISTRY.register()
class VFNet(OneStageDetector):
    """Dense detector that ranks its boxes by the IoU-aware classification score.

    Both box stages are trained with weights equal to their own IoU (Eq. 3; the published weights
    divide by the sum of these weights, which is what this does, and not by N_pos).

    Raises:
        ValueError: a head without stars, or anchors that are not ``head.anchor_scale`` strides
            wide, so that the star would not lie on the box.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._check_anchor_scale()

    def _check_anchor_scale(self) -> None:
        scale = getattr(self.head, "anchor_scale", None)
        if scale is None:
            raise ValueError(
                f"VFNet needs a head that knows its anchor_scale, such as VFNetHead; "
                f"{type(self.head).__name__} does not. Choose another head or detector"
            )
        generator: Any = self.anchor_generator
        for stride, cell in zip(generator.strides, generator.cell_anchors, strict=True):
            sides = (cell[:, 2:] - cell[:, :2]).flatten().tolist()
            if len(sides) != 2 or any(side != scale * stride for side in sides):
                raise ValueError(
                    f"VFNet needs one square anchor of {scale:g} x stride per cell; at stride "
                    f"{stride} the anchor generator makes sides {sides}. Set its sizes to "
                    f"{scale:g} x the strides, or the head's anchor_scale to the sizes"
                )

    def box_weights(self, matches: Matches) -> Tensor:
        """Weight each positive by the IoU of that stage's own box."""
        return matches.ious.clamp(min=MIN_IOU)
