"""FoveaBox's matching: the middle of each box, on the levels of its size (TIP 2020, Sec. III-B)."""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.modeling.dense.matchers.grid import AnchorGrid, anchor_grid
from vfnet_d2.modeling.dense.matchers.own_padding import Size
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.structures import Assignment, assign_each_anchor


@MATCHER_REGISTRY.register()
class FoveaMatcher:
    """Assign the cells whose centres lie in a box's fovea: the box shrunk around its centre.

    Where foveae overlap, the smallest box wins, of equally large ones the last. Every other cell
    is negative, also in the batch's padding.

    Args:
        scale_ranges: per level, the smallest and largest side of the square of a box's area, in
            pixels, that the level answers for. Ranges overlap, so a box may be on two levels.
        sigma: sides of the fovea over those of the box.
    """

    def __init__(
        self,
        *,
        scale_ranges: Sequence[Sequence[float]] = (
            (1, 64),
            (32, 128),
            (64, 256),
            (128, 512),
            (256, 2048),
        ),
        sigma: float = 0.4,
    ) -> None:
        if not 0 < sigma <= 1 or any(not low < high for low, high in scale_ranges):
            raise ValueError(
                f"sigma ({sigma}) must lie in (0, 1], and each of scale_ranges ({scale_ranges}) "
                "must be a lower and a higher side"
            )
        self.scale_ranges = tuple(tuple(pair) for pair in scale_ranges)
        self.sigma = sigma

    @torch.no_grad()
    def __call__(
        self,
        anchors: Sequence[Boxes],
        targets: Sequence[Instances],
        predicted: Sequence[Boxes] | None = None,
        *,
        padded_sizes: Sequence[Size] | None = None,
    ) -> Assignment:
        """See :class:`~vfnet_d2.modeling.dense.matchers.registry.Matcher`.

        Looks neither at ``predicted`` nor at ``padded_sizes``.

        Raises:
            ValueError: not one scale range a level, or not one anchor a cell.
        """
        del predicted, padded_sizes
        if len(anchors) != len(self.scale_ranges):
            raise ValueError(
                f"FoveaMatcher has {len(self.scale_ranges)} scale_ranges, but the head reads "
                f"{len(anchors)} levels; give one range a level"
            )
        grid = anchor_grid(anchors)
        device = grid.origin.device
        counts = [len(target) for target in targets]
        boxes = torch.cat([target.gt_boxes.tensor for target in targets]).to(device).float()
        image = torch.repeat_interleave(torch.tensor(counts)).to(device)
        number = torch.cat([torch.arange(count) for count in counts]).to(device)
        side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
        # From the largest to the smallest: of the boxes that claim a cell the last one wins.
        order = side.argsort(descending=True, stable=True)
        boxes, image, number, side = boxes[order], image[order], number[order], side[order]
        num_anchors = sum(len(level) for level in anchors)
        winner = boxes.new_full((len(targets) * num_anchors,), -1, dtype=torch.int64)
        for level, (low, high) in enumerate(self.scale_ranges):
            fitting = torch.nonzero((side >= low) & (side <= high))[:, 0]
            owner, cell = self._cells(boxes[fitting], grid, level)
            claimant = fitting[owner]
            winner.scatter_reduce_(0, image[claimant] * num_anchors + cell, claimant, "amax")
        winner = winner.view(len(targets), num_anchors)
        taken = winner >= 0
        gt_idxs = torch.zeros_like(winner)
        gt_idxs[taken] = number[winner[taken]]
        return assign_each_anchor(gt_idxs, taken.to(torch.int8))

    def _cells(self, boxes: Tensor, grid: AnchorGrid, level: int) -> tuple[Tensor, Tensor]:
        """All cells of a level in the foveae of boxes (M, 4).

        Returns:
            the box (C,) and the index (C,), among all anchors of an image, of each cell.
        """
        size = grid.size[level]
        step, start = grid.step[level].repeat(2), grid.origin[level] / grid.step[level]
        boxes = boxes / step
        half = (boxes[:, 2:] - boxes[:, :2]) / 2
        # A fovea beyond the last centre of a level takes the cells at the level's border.
        edge = torch.zeros_like(size)
        low = (boxes[:, :2] + (1 - self.sigma) * half - start).ceil().long()
        high = (boxes[:, :2] + (1 + self.sigma) * half - start).floor().long()
        low, high = low.clamp(edge, size - 1), high.clamp(edge, size - 1)
        spans = (high - low + 1).clamp(min=0)
        counts = spans.prod(dim=1)
        owner = torch.repeat_interleave(counts)
        within = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
        columns = spans[owner, 0]
        x = low[owner, 0] + within % columns
        y = low[owner, 1] + within.div(columns, rounding_mode="floor")
        return owner, grid.start[level] + y * size[0] + x
