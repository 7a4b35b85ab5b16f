"""The ground truth of a batch: checked before anything is computed from it, and looked up."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor

from vfnet_d2.modeling.dense.structures import Assignment

# Resizing rounds box corners; more than this many pixels outside is a mistake in the data.
BORDER_TOLERANCE = 1.0
# Keeps a positive with IoU 0 a positive: the varifocal loss reads target 0 as background.
MIN_IOU = 1e-6


def check_targets(batched_inputs: Sequence[dict[str, Any]], num_classes: int) -> None:
    """Refuse boxes and classes that would silently spoil the loss.

    Called on the data loader's output, before it moves to the device, so that a GPU never waits.

    Args:
        batched_inputs: N inputs of a Detectron2 model in training.
        num_classes: K.

    Raises:
        ValueError: an input has no "instances"; or a box is NaN or infinite, has no area or leaves
            the image, or a class is not in 0..K-1. Names the image and the box.
    """
    for position, item in enumerate(batched_inputs):
        image = item.get("file_name") or item.get("image_id", f"number {position} of the batch")
        if "instances" not in item:
            raise ValueError(
                f"image {image}: training needs 'instances'; the dataset mapper dropped them "
                "(it must be built with is_train=True)"
            )
        problem = find_problem(item["instances"], num_classes)
        if problem:
            raise ValueError(f"image {image}: {problem}")


def find_problem(targets: Instances, num_classes: int) -> str:
    """Describe the first bad box or class of an image, or return ""."""
    if len(targets) == 0:
        return ""
    boxes, classes = targets.gt_boxes.tensor, targets.gt_classes
    height, width = targets.image_size
    limits = boxes.new_tensor([width, height, width, height]) + BORDER_TOLERANCE
    finite = boxes.isfinite().all(dim=1)
    checks = {
        "is not finite": ~finite,
        "has no area": finite & ~((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])),
        f"leaves the image of {width} x {height} pixels": finite
        & ((boxes < -BORDER_TOLERANCE) | (boxes > limits)).any(dim=1),
    }
    for description, bad in checks.items():
        if bad.any():
            index = int(torch.nonzero(bad)[0])
            corners = [round(value, 2) for value in boxes[index].tolist()]
            return (
                f"ground-truth box {index} (x1, y1, x2, y2) = {corners} {description}; "
                "correct or remove it in the annotations, or clip it in the dataset mapper"
            )
    wrong = (classes < 0) | (classes >= num_classes)
    if wrong.any():
        index = int(torch.nonzero(wrong)[0])
        return (
            f"ground-truth box {index} has class {int(classes[index])}, but the model has the "
            f"classes 0 to {num_classes - 1}; set the number of classes to the dataset's"
        )
    return ""


def matched_targets(
    gt_instances: list[Instances], gt_idxs: Tensor, image: Tensor
) -> tuple[Tensor, Tensor]:
    """Boxes and classes of P ground-truth objects.

    Args:
        gt_instances: N ``Instances``.
        gt_idxs: (P,) number of each object within its image.
        image: (P,) its image.

    Returns:
        boxes (P, 4) in pixels and classes (P,).
    """
    counts = torch.tensor([0] + [len(x) for x in gt_instances[:-1]])
    index = gt_idxs + counts.cumsum(0).to(gt_idxs.device)[image]
    boxes = torch.cat([x.gt_boxes.tensor for x in gt_instances])
    return boxes[index], torch.cat([x.gt_classes for x in gt_instances])[index]


def centerness(anchors: Tensor, gt_boxes: Tensor) -> Tensor:
    """How near to the middle of its box each anchor's centre lies (FCOS, ICCV 2019, Eq. 3).

    Args:
        anchors: (P, 4) in pixels, centres inside the boxes.
        gt_boxes: (P, 4).

    Returns:
        (P,) in [0, 1].
    """
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = centre - gt_boxes[:, :2], gt_boxes[:, 2:] - centre
    return (torch.minimum(before, after) / torch.maximum(before, after)).prod(dim=1).sqrt()


def count_positives(assignment: Assignment) -> Tensor:
    """Return the number of positive pairs of a batch, a scalar."""
    return assignment.labels.new_tensor(len(assignment.image), dtype=torch.int64)


def count_at_least_one_an_image(assignment: Assignment) -> Tensor:
    """Return the number of positive anchors, where an image without any counts as one.

    mmdet's samplers count so. An anchor of several pairs counts once.
    """
    return (assignment.labels == 1).sum(dim=1).clamp(min=1).sum()
