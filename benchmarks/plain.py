"""The plain ways of computing, that the fast ones of the package are compared with.

Each function of ``PLAIN_WAYS`` changes one model, in place, and nothing else. The results stay the
same up to rounding.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from detectron2.layers import Conv2d, batched_nms
from torch import Tensor

from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.layers.folded_conv import FoldedConv2d
from vfnet_d2.modeling.dense.postprocess import Candidates
from vfnet_d2.modeling.suppression import ClasswiseNMS


def select_pairs_of_all(logits: Tensor, *, score_thresh: float, topk: int) -> Candidates:
    """Select the best (anchor, class) pairs by definition, from the score of every pair.

    Arguments and result as in :func:`~vfnet_d2.modeling.dense.postprocess.select_pairs`.
    """
    scores = logits.sigmoid()
    anchor, category = torch.nonzero(scores > score_thresh, as_tuple=True)
    scores = scores[anchor, category]
    best = scores.topk(min(topk, len(scores))).indices
    return anchor[best], category[best], scores[best]


class NMSOfAll(ClasswiseNMS):
    """NMS within each class that always looks at all candidates."""

    def __call__(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, *, limit: int
    ) -> tuple[Tensor, Tensor]:
        """See :class:`~vfnet_d2.modeling.suppression.Suppression`."""
        del limit
        keep = batched_nms(boxes, scores, classes, self.iou_thresh)
        return keep, scores[keep]


def lay_maps_out(model: Any, memory_format: torch.memory_format) -> None:
    """Have all maps of a detector in one memory format, whatever its device prefers."""
    first = getattr(model.backbone, "bottom_up", model.backbone)
    first.register_forward_pre_hook(
        lambda module, images: (images[0].contiguous(memory_format=memory_format),)
    )


def keep_maps_contiguous(model: Any) -> None:
    """Have the channels of a map lie one after the other."""
    lay_maps_out(model, torch.contiguous_format)


def apply_norms(model: Any) -> None:
    """Compute every convolution and its norm one after the other."""
    for layer in model.modules():
        if isinstance(layer, FoldedConv2d):
            replaced: Any = layer
            replaced.forward = functools.partial(Conv2d.forward, layer)


def refine_all_boxes(model: Any) -> None:
    """Refine the boxes of all cells, also of those that nobody looks at."""
    for layer in model.modules():
        if isinstance(layer, StarConv2d):
            replaced: Any = layer
            replaced.can_skip_cells = lambda x: False


def select_from_all(model: Any) -> None:
    """Look at the score of every pair of anchor and class."""
    model.select = select_pairs_of_all


def suppress_all(model: Any) -> None:
    """Compare all candidates with each other, in a detector with plain NMS."""
    model.suppression = NMSOfAll(model.suppression.iou_thresh)


PLAIN_WAYS: tuple[Callable[[Any], None], ...] = (
    keep_maps_contiguous,
    apply_norms,
    refine_all_boxes,
    select_from_all,
    suppress_all,
)


def compute_plainly(model: Any) -> None:
    """Have a detector compute in all the plain ways."""
    for change in PLAIN_WAYS:
        change(model)
