"""Detectron2's COCO evaluator, set up for what is installed."""

from detectron2.evaluation import COCOEvaluator


def build_coco_evaluator(dataset_name: str, *, output_dir: str | None = None) -> COCOEvaluator:
    """Return a box evaluator; Detectron2's compiled COCO evaluation is used where it is installed.

    Args:
        dataset_name: a registered dataset, loaded before.
        output_dir: where the detections are written as COCO JSON, or None.
    """
    return COCOEvaluator(
        dataset_name,
        tasks=("bbox",),
        output_dir=output_dir,
        use_fast_impl=_has_compiled_evaluation(),
    )


def _has_compiled_evaluation() -> bool:
    try:
        from detectron2 import _C
    except ImportError:
        return False
    return hasattr(_C, "COCOevalEvaluateImages")
