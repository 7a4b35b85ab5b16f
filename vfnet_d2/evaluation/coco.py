"""Detectron2's COCO evaluator, set up for what is installed."""

import logging
import math
from collections.abc import Iterable
from typing import Any

from detectron2.evaluation import COCOEvaluator

from vfnet_d2.data.formats.values import as_flag, as_number
from vfnet_d2.utils.errors import UserError

logger = logging.getLogger(__name__)


def build_coco_evaluator(dataset_name: str, *, output_dir: str | None = None) -> COCOEvaluator:
    """Return a box evaluator; Detectron2's compiled COCO evaluation is used where it is installed.

    Args:
        dataset_name: a registered dataset, loaded before.
        output_dir: where the detections are written as COCO JSON, or None.
    """
    evaluator = COCOEvaluator(
        dataset_name,
        tasks=("bbox",),
        output_dir=output_dir,
        use_fast_impl=_has_compiled_evaluation(),
    )
    # There is no public way to the annotations that it has read.
    filled = fill_in(evaluator._coco_api.anns.values())
    if filled:
        logger.warning(
            "dataset %r: %d annotations have no usable iscrowd or area: taken to be no crowd, and "
            "of the area of the box. `vfnet data check FILE --fix DIR` writes them",
            dataset_name,
            filled,
        )
    return evaluator


def fill_in(annotations: Iterable[dict[str, Any]]) -> int:
    """Give COCO annotations the ``iscrowd`` and ``area`` that COCO's evaluation cannot do without.

    Args:
        annotations: changed in place.

    Returns:
        how many lacked one, or had it as something else than a number.

    Raises:
        UserError: an ``iscrowd`` is neither true nor false.
    """
    filled = 0
    for annotation in annotations:
        crowd, area = annotation.get("iscrowd"), as_number(annotation.get("area"))
        flag = as_flag(crowd)
        if flag is None:
            raise UserError(
                f"annotation {annotation.get('id')}: iscrowd must be 0 or 1, got {crowd!r}"
            )
        if area is None or not math.isfinite(area):
            area = float(annotation["bbox"][2]) * float(annotation["bbox"][3])
        new = {"iscrowd": int(flag), "area": area}
        if any(
            annotation.get(key) != value or isinstance(annotation.get(key), str)
            for key, value in new.items()
        ):
            annotation.update(new)
            filled += 1
    return filled


def _has_compiled_evaluation() -> bool:
    try:
        from detectron2 import _C
    except ImportError:
        return False
    return hasattr(_C, "COCOevalEvaluateImages")
