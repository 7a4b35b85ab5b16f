"""How well scores rank boxes by their IoU: rank correlation, reliability, calibration error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, BoxMode, Instances, pairwise_iou
from detectron2.structures.boxes import pairwise_ioa
from scipy import stats

NUM_BINS = 10
# From here on a box counts as lying on an object or within a crowd; COCO's lowest threshold.
MATCH_IOU = 0.5


def best_ious(
    detections: Instances, annotations: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Compare each detection of an image with the nearest object of its class.

    A detection that lies on no object but within a crowd of its class is left out, as COCO's
    evaluation ignores it.

    Args:
        detections: on the CPU, in the coordinates of the annotations.
        annotations: of a Detectron2 dataset dict, crowds included.

    Returns:
        scores (D,) and IoUs (D,), 0 where there is no object of the class.
    """
    crowd = torch.tensor([bool(a.get("iscrowd", 0)) for a in annotations], dtype=torch.bool)
    classes = torch.tensor([a["category_id"] for a in annotations], dtype=torch.int64)
    corners = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    boxes = Boxes(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4))
    same = detections.pred_classes[:, None] == classes
    ious = pairwise_iou(detections.pred_boxes, boxes) * (same & ~crowd)
    # Intersection over the area of the detection.
    within = pairwise_ioa(boxes, detections.pred_boxes).T * (same & crowd)
    best, covered = (_row_maximum(x) for x in (ious, within))
    kept = (best >= MATCH_IOU) | (covered < MATCH_IOU)
    return detections.scores[kept].double().numpy(), best[kept].double().numpy()


def _row_maximum(x: torch.Tensor) -> torch.Tensor:
    """Largest value of each row of (D, M), 0 where M is 0."""
    return x.amax(dim=1) if x.shape[1] else x.new_zeros(len(x))


def describe_ranking(scores: np.ndarray, ious: np.ndarray) -> dict[str, Any]:
    """Return the count, rank correlations, calibration error and reliability of scored boxes.

    Args:
        scores: (D,) in [0, 1].
        ious: (D,) in [0, 1].
    """
    bins = reliability(scores, ious)
    return {
        "count": len(scores),
        **rank_correlation(scores, ious),
        "expected_calibration_error": expected_calibration_error(bins),
        "reliability": bins,
    }


def rank_correlation(scores: np.ndarray, ious: np.ndarray) -> dict[str, float | None]:
    """Spearman's rho and Kendall's tau-b of scores (D,) and IoUs (D,).

    Both are 1 when a higher score always means a higher IoU, near 0 when the score says nothing,
    and None when they are not defined: fewer than two boxes, or all scores or IoUs equal.
    """
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(ious) == 0:
        return {"spearman": None, "kendall": None}
    return {
        "spearman": float(stats.spearmanr(scores, ious).statistic),
        "kendall": float(stats.kendalltau(scores, ious).statistic),
    }


def reliability(
    scores: np.ndarray, ious: np.ndarray, *, num_bins: int = NUM_BINS
) -> list[dict[str, Any]]:
    """Mean IoU of the boxes whose scores lie in each of ``num_bins`` equal parts of [0, 1].

    Args:
        scores: (D,) in [0, 1].
        ious: (D,) in [0, 1].
        num_bins: how many.

    Returns:
        per bin "low", "high" (exclusive, but for the last), "count", "mean_score" and "mean_iou";
        the means are None in an empty bin.
    """
    number = np.minimum((scores * num_bins).astype(int), num_bins - 1)
    bins = []
    for index in range(num_bins):
        inside = number == index
        count = int(inside.sum())
        bins.append(
            {
                "low": index / num_bins,
                "high": (index + 1) / num_bins,
                "count": count,
                "mean_score": float(scores[inside].mean()) if count else None,
                "mean_iou": float(ious[inside].mean()) if count else None,
            }
        )
    return bins


def expected_calibration_error(bins: Sequence[dict[str, Any]]) -> float | None:
    """Mean distance between score and IoU over the bins, weighted by their counts (ECE).

    None when all bins are empty.
    """
    total = sum(entry["count"] for entry in bins)
    if total == 0:
        return None
    filled = [entry for entry in bins if entry["count"]]
    return sum(x["count"] * abs(x["mean_score"] - x["mean_iou"]) for x in filled) / total
