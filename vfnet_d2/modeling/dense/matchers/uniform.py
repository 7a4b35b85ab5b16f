"""YOLOF's uniform matching: as many anchors for a small box as for a large one (Sec. 4.2)."""

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from vfnet_d2.losses.box import paired_iou
from vfnet_d2.modeling.dense.matchers.own_padding import Size, inside_own_padding
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.structures import Assignment


@MATCHER_REGISTRY.register()
class UniformMatcher:
    """Pair each box with its nearest predictions and its nearest anchors.

    Nearest in the L1 distance of (centre x, centre y, width, height), in pixels. Pairs whose anchor
    overlaps the box too little do not count, and neither do, as negatives, anchors whose prediction
    is good already. The pairs are gone through by rank: those of the nearest predictions of all
    boxes, those of the nearest anchors of all boxes, those of the second nearest, and so on. The
    last pair of an anchor decides on its label: positive, or ignored where it does not count. For
    the boxes all pairs that count do so, also several of one anchor, and a pair that occurs twice
    counts twice.

    Of several anchors that are equally near, which a square grid often has, ``torch.topk`` on the
    CPU chooses among float32 distances, whatever the device, as in the reference. All is computed
    there: the numbers are few, and a GPU would have to wait for them anyway.

    Args:
        match_times: nearest predictions, and nearest anchors, of a box.
        negative_iou: an anchor whose prediction overlaps any box by more is no negative.
        positive_iou: an anchor that overlaps the box by less makes no pair.
    """

    def __init__(
        self, *, match_times: int = 4, negative_iou: float = 0.7, positive_iou: float = 0.15
    ) -> None:
        if match_times < 1 or not 0 <= negative_iou <= 1 or not 0 <= positive_iou <= 1:
            raise ValueError(
                f"match_times ({match_times}) must be 1 or more, negative_iou ({negative_iou}) and "
                f"positive_iou ({positive_iou}) must lie in 0..1"
            )
        self.match_times = match_times
        self.negative_iou = negative_iou
        self.positive_iou = positive_iou

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

        Raises:
            ValueError: no predictions are given.
        """
        if predicted is None:
            raise ValueError("UniformMatcher needs the predicted boxes; use it in YOLOF")
        device = anchors[0].device
        flat = Boxes.cat(list(anchors)).tensor.float().cpu()
        boxes = torch.stack([image.tensor for image in predicted]).float().cpu()
        inside = torch.ones(boxes.shape[:2], dtype=torch.bool)
        if padded_sizes is not None:
            inside = inside_own_padding([level.to("cpu") for level in anchors], padded_sizes)
        labels = torch.full(inside.shape, -1, dtype=torch.int8)
        images, anchor_numbers, gts = [], [], []
        for image, target in enumerate(targets):
            chosen = torch.nonzero(inside[image])[:, 0]
            gt_boxes = target.gt_boxes.tensor.float().cpu()
            labels[image, chosen], near, gt = self._match(
                flat[chosen], boxes[image, chosen], gt_boxes
            )
            images.append(torch.full_like(gt, image))
            anchor_numbers.append(chosen[near])
            gts.append(gt)
        pairs = torch.stack([torch.cat(x) for x in (images, anchor_numbers, gts)]).to(device)
        return Assignment(labels.to(device), *pairs)

    def _match(
        self, anchors: Tensor, predicted: Tensor, gt_boxes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Label the anchors (R, 4) of one image with M boxes (M, 4).

        Returns:
            labels (R,), and anchor and box (P,) of each pair, in the order of their ranks.
        """
        labels = torch.zeros(len(anchors), dtype=torch.int8)
        count = len(gt_boxes)
        if count == 0 or len(anchors) == 0:
            none = torch.zeros(0, dtype=torch.int64)
            return labels, none, none
        # (4, R) seen through (R, 4): coordinates of one kind lie together
        columns = predicted.t().contiguous().t()
        good = paired_iou(gt_boxes[:, None], columns).amax(dim=0) > self.negative_iou
        labels[good] = -1
        near = torch.cat([self._nearest(boxes, gt_boxes) for boxes in (predicted, anchors)], dim=1)
        near = near.flatten()
        gt = torch.arange(count).repeat(len(near) // count)
        counts = paired_iou(anchors[near], gt_boxes[gt]) >= self.positive_iou
        # Writing all of them at once would leave open which of an anchor's pairs stays.
        order = torch.arange(len(near))
        last = torch.full((len(anchors),), -1).scatter_reduce_(0, near, order, "amax")
        paired = last >= 0
        labels[paired] = torch.where(counts[last[paired]], 1, -1).to(torch.int8)
        return labels, near[counts], gt[counts]

    def _nearest(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """Return the numbers (k, M) of the boxes (R, 4) nearest to each of M boxes (M, 4)."""
        # These two calls decide ties: no other ones, however equal, in their place.
        distances = torch.cdist(_centre_and_size(boxes), _centre_and_size(gt_boxes), p=1)
        k = min(self.match_times, len(boxes))
        return distances.topk(k, dim=0, largest=False).indices


def _centre_and_size(boxes: Tensor) -> Tensor:
    """Centre x and y, width and height (P, 4) of boxes (P, 4)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return torch.cat([(low + high) / 2, high - low], dim=1)
