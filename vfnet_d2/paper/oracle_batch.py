"""The oracle analysis of one batch: a network pass, the foreground, detections of every column."""

from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.stages import match_stage
from vfnet_d2.modeling.dense.structures import HeadOutputs
from vfnet_d2.modeling.detector import in_original_size
from vfnet_d2.paper.oracle import Foreground, apply_column, columns_for, point_scores


class BatchAnalysis(NamedTuple):
    """What one forward pass over a batch gives.

    Attributes:
        detections: per column the detections of the N images, on the CPU, in the coordinates of
            the image files.
        scores: (P,) what the foreground points score for their true class.
        ious: (P,) IoU of their predicted boxes with the ground truth.
    """

    detections: dict[str, list[Instances]]
    scores: np.ndarray
    ious: np.ndarray


@torch.no_grad()
def analyse_batch(model: OneStageDetector, batch: list[dict[str, Any]]) -> BatchAnalysis:
    """Run the network once and detect as every column of the table says.

    Args:
        model: in evaluation mode.
        batch: N inputs with "instances", the ground truth in the coordinates of "image".
    """
    images = model.preprocess_image(batch)
    with torch.autocast(model.device.type, enabled=False):
        outputs = model.network(images.tensor)
        targets = [item["instances"].to(model.device) for item in batch]
        foreground = find_foreground(model, outputs, targets)
        detections = {}
        for column in columns_for(quality=outputs.quality is not None):
            replaced = apply_column(column, outputs, foreground)
            found = in_original_size(model.detections(replaced, images.image_sizes), batch)
            detections[column.name] = [output["instances"].to("cpu") for output in found]
    scores = point_scores(outputs, foreground.matches)
    return BatchAnalysis(
        detections,
        scores.double().cpu().numpy(),
        foreground.matches.ious.double().cpu().numpy(),
    )


def find_foreground(
    model: OneStageDetector, outputs: HeadOutputs, targets: list[Instances]
) -> Foreground:
    """Run the detector's own matcher and say what its head should have predicted.

    An anchor that answers for several objects counts once, for the one that its class is learnt
    from.

    A box that the coder cannot express it gives as nearly as it can: distances from the point are
    never negative, so that a point outside the box gets the smallest box that holds both.
    """
    anchors = model.anchor_generator(outputs.logits)
    assignment = model.assign(anchors, targets, outputs.boxes)[-1]
    pairs, _ = match_stage(
        Boxes.cat(anchors).tensor,
        outputs.boxes[-1],
        assignment,
        targets,
        coder=model.box_coder,
        loss=model.box_loss,
    )
    matches = pairs.at(model.classifying(assignment))
    return Foreground(
        matches,
        model.box_coder.get_deltas(matches.anchor_boxes, matches.gt_boxes),
        None if outputs.quality is None else model.quality_targets(matches),
    )
