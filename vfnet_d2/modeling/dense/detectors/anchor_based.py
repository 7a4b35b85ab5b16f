"""What detectors with several anchors a cell have in common."""

from typing import Any

from vfnet_d2.modeling.dense.detectors.iou_matched import IoUMatchedDetector


class AnchorBasedDetector(IoUMatchedDetector):
    """Template of detectors with several anchors a cell.

    Raises:
        ValueError: the head predicts for another number of anchors than the generator makes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        generator: Any = self.anchor_generator
        made = list(generator.num_cell_anchors)
        expected = getattr(self.head, "num_anchors", 1)  # heads of one anchor do not tell
        if any(number != expected for number in made):
            raise ValueError(
                f"the head predicts {expected} boxes a cell, but the anchor generator makes "
                f"{made} anchors a cell of its levels; set the head's num_anchors to sizes x "
                "aspect ratios, which must be as many at each level"
            )
