"""Registry of matchers, and their protocol."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from detectron2.structures import Boxes, Instances
from detectron2.utils.registry import Registry

from vfnet_d2.modeling.dense.matchers.own_padding import Size
from vfnet_d2.modeling.dense.structures import Assignment

MATCHER_REGISTRY = Registry("MATCHER")
MATCHER_REGISTRY.__doc__ = "Matchers: (anchors per level, ground truth, predictions) -> Assignment."


@runtime_checkable
class Matcher(Protocol):
    """Seam: assign anchors of all images at once to ground-truth boxes."""

    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
        *,
        padded_sizes: Sequence[Size] | None = None,
    ) -> Assignment:
        """Label every anchor of every image.

        Args:
            anchors: L ``Boxes``, row-major over each level's cells.
            targets: N ``Instances`` with ``gt_boxes`` in pixels and ``image_size`` (the image's own
                size, before batch padding).
            predicted: N ``Boxes`` of R predictions, for matchers that look at them.
            padded_sizes: (height, width) of each image with its own padding, see
                :func:`~vfnet_d2.modeling.dense.matchers.own_padding.pad_sizes`; None if images
                have none. Anchors beyond belong to the batch's padding.
        """
        ...
