"""Running the oracle analysis and the ranking report of a trained detector on its test set."""

import contextlib
import copy
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetMapper, MetadataCatalog, build_detection_test_loader
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Instances
from tqdm import tqdm

from vfnet_d2.data.loading import check_num_classes, load_dataset
from vfnet_d2.evaluation.coco import build_coco_evaluator
from vfnet_d2.evaluation.ranking import best_ious, describe_ranking
from vfnet_d2.inference.predictor import Predictor, load_predictor
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.paper.oracle import COLUMNS
from vfnet_d2.paper.oracle_batch import BatchAnalysis, analyse_batch
from vfnet_d2.paper.oracle_report import make_report, write_report


def analyse_config(
    config_file: str,
    opts: Sequence[str],
    output: Path,
    *,
    num_gpus: int = 1,
    num_workers: int = 0,
) -> dict[str, Any]:
    """Analyse the model of a YAML or LazyConfig file on the first of its test sets.

    Args:
        config_file: path of the config.
        opts: overrides in the config's system, the weights among them.
        output: folder of the report; made if needed.
        num_gpus: 0 keeps the model on the CPU, 1 follows the config.
        num_workers: processes that read images.

    Returns:
        the report, which also lies in ``output``.
    """
    on_cpu = ["train.device=cpu"] if config_file.endswith(".py") else ["MODEL.DEVICE", "cpu"]
    predictor = load_predictor(config_file, [*opts, *(on_cpu if num_gpus == 0 else [])])
    output.mkdir(parents=True, exist_ok=True)
    report = analyse(predictor, output=output, num_workers=num_workers)
    write_report(report, output)
    return report


def analyse(predictor: Predictor, *, output: Path, num_workers: int = 0) -> dict[str, Any]:
    """Evaluate every column of the oracle table and the ranking of a detector.

    Args:
        predictor: the detector, with the preprocessing and the names of its test sets; the first
            one is used.
        output: folder for the COCO JSON of a test set that has none.
        num_workers: processes that read images.

    Returns:
        see :func:`~vfnet_d2.paper.oracle_report.make_report`.

    Raises:
        ValueError: not a detector of this project, no test set, or no ground truth.
    """
    model, name = predictor.model, _test_dataset(predictor)
    if not isinstance(model, OneStageDetector):
        raise ValueError(
            f"the config's model is of class {type(model).__name__}; the oracle analysis runs "
            "this project's one-stage detectors"
        )
    dataset = load_dataset(name, filter_empty=False)
    if not any(item.get("annotations") for item in dataset):
        raise ValueError(f"dataset {name!r} has no annotations; the oracles need ground truth")
    check_num_classes(model.num_classes, [name], key="the model's number of classes")
    evaluator = _build_evaluator(name, output)
    loader = build_detection_test_loader(
        dataset=dataset, mapper=keep_ground_truth(predictor.mapper), num_workers=num_workers
    )
    detections: dict[str, list[Instances]] = {}
    points = []
    for batch in _analysed(model, loader):
        points.append((batch.scores, batch.ious))
        for column, found in batch.detections.items():
            detections.setdefault(column, []).extend(found)
    results = {
        column.name: evaluate_detections(evaluator, dataset, detections[column.name])
        for column in COLUMNS
        if column.name in detections
    }
    # A model with a centerness branch is used with it.
    used = "predicted_centerness" if "predicted_centerness" in detections else "predicted"
    boxes = [
        best_ious(found, item.get("annotations", []))
        for found, item in zip(detections[used], dataset, strict=True)
    ]
    return make_report(
        results,
        used=used,
        ranking={
            "detections": describe_ranking(*_joined(boxes)),
            "foreground_points": describe_ranking(*_joined(points)),
        },
        about={"model": type(model).__name__, "dataset": name, "images": len(dataset)},
    )


def keep_ground_truth(mapper: Any) -> DatasetMapper:
    """Return a copy of a test set's mapper that does not drop the annotations.

    Detectron2's mapper moves annotations with the image and takes out crowds when it is built for
    training; in evaluation it drops them all. Nothing else in it depends on training.

    Raises:
        ValueError: not a Detectron2 ``DatasetMapper``.
    """
    if not isinstance(mapper, DatasetMapper):
        raise ValueError(
            f"the test set's mapper is of class {type(mapper).__name__}; the oracle analysis "
            "needs a Detectron2 DatasetMapper, which can carry annotations along"
        )
    mapper = copy.copy(mapper)
    mapper.is_train = True
    return mapper


def evaluate_detections(
    evaluator: COCOEvaluator, dataset: list[dict[str, Any]], detections: list[Instances]
) -> dict[str, float]:
    """Return COCO's box APs, in percent, of the detections of each image of a dataset."""
    evaluator.reset()
    evaluator.process(dataset, [{"instances": found} for found in detections])
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints a table each time
        return dict(evaluator.evaluate()["bbox"])


def _build_evaluator(name: str, output: Path) -> COCOEvaluator:
    # Detectron2 writes the COCO JSON of a dataset that has none, and needs a place for it.
    has_json = hasattr(MetadataCatalog.get(name), "json_file")
    return build_coco_evaluator(name, output_dir=None if has_json else str(output / "coco"))


def _analysed(model: OneStageDetector, loader: Any) -> Iterator[BatchAnalysis]:
    for batch in tqdm(loader, desc="Oracle analysis", unit="batch"):
        yield analyse_batch(model, batch)


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    scores, ious = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(ious)


def _test_dataset(predictor: Predictor) -> str:
    if not predictor.test_datasets:
        raise ValueError(
            "the config names no test set: set DATASETS.TEST (YAML) or "
            "dataloader.test.dataset.names (LazyConfig)"
        )
    return predictor.test_datasets[0]
