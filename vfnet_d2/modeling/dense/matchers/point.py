"""RepPoints' matcher of the initial points: the cell nearest to a box's centre (ICCV 2019)."""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.modeling.dense.matchers.own_padding import Size, inside_own_padding
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.structures import Assignment, assign_each_anchor


@MATCHER_REGISTRY.register()
class PointMatcher:
    """Give each box the nearest cells of the one level whose anchors are of its size.

    A box of sides w and h belongs to the coarsest level with anchors of at most ``sqrt(w h)``
    pixels, and to the finest if there is none. Distances count in units of the box's sides. A cell
    that several boxes claim goes to the one it is nearest to. All other cells are negative.

    Args:
        topk: cells a box takes (fewer if the level has fewer).
    """

    def __init__(self, *, topk: int = 1) -> None:
        if topk < 1:
            raise ValueError(f"topk is {topk}, but must be at least 1")
        self.topk = topk

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
        *,
        padded_sizes: Sequence[Size] | None = None,
    ) -> Assignment:
        """See :class:`~vfnet_d2.modeling.dense.matchers.registry.Matcher`; ignores ``predicted``.

        The anchors are square, of one size a level, and the levels go from fine to coarse.
        """
        del predicted
        sides = torch.stack([boxes.tensor[0, 2] - boxes.tensor[0, 0] for boxes in anchors])
        counts = torch.tensor([len(boxes) for boxes in anchors])
        level = torch.repeat_interleave(torch.arange(len(anchors)), counts).to(sides.device)
        centres = Boxes.cat(list(anchors)).get_centers()
        inside = inside_own_padding(anchors, padded_sizes or [x.image_size for x in targets])
        images = [
            self._match_image(centres, level, sides, target.gt_boxes, valid)
            for target, valid in zip(targets, inside, strict=True)
        ]
        gt_idxs, labels = (torch.stack(parts) for parts in zip(*images, strict=True))
        return assign_each_anchor(gt_idxs, labels)

    def _match_image(
        self, centres: Tensor, level: Tensor, sides: Tensor, targets: Boxes, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return indices and labels (R,) of the anchors of an image.

        Args:
            centres: (R, 2) x and y in pixels.
            level: (R,) level of each.
            sides: (L,) anchor sides in pixels, ascending.
            targets: M ground-truth boxes of the image.
            valid: (R,) which anchors take part.
        """
        labels = valid.to(torch.int8) - 1
        boxes = targets.tensor.to(centres.dtype)
        if len(boxes) == 0:
            return torch.zeros_like(level), labels
        size = boxes[:, 2:] - boxes[:, :2]  # (M, 2)
        wanted = torch.bucketize(size.prod(dim=1).sqrt(), sides, right=True) - 1
        shift = centres - (boxes[:, :2] + boxes[:, 2:])[:, None] / 2  # (M, R, 2)
        distance = (shift / size[:, None]).norm(dim=2)  # (M, R)
        open_to_box = valid & (level == wanted.clamp(min=0)[:, None])
        distance = distance.masked_fill(~open_to_box, torch.inf)
        nearest = distance.topk(min(self.topk, len(centres)), dim=1, largest=False)
        claims = torch.full_like(distance, torch.inf)
        claims.scatter_(1, nearest.indices, nearest.values)
        best, gt_idxs = claims.min(dim=0)
        return gt_idxs, torch.where(best.isfinite(), torch.ones_like(labels), labels)
