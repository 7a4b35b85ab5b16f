"""Evaluation with a report: of a model on a dataset, or of detections that are there already."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data import MetadataCatalog, build_detection_test_loader
from detectron2.data.datasets import convert_to_coco_json
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Instances
from tqdm import tqdm

from vfnet_d2.data.formats.opening import open_dataset
from vfnet_d2.data.formats.reader import FormatError
from vfnet_d2.data.loading import check_num_classes, load_dataset
from vfnet_d2.evaluation.report.build import make_report
from vfnet_d2.evaluation.report.coco_metrics import AUTO
from vfnet_d2.evaluation.report.data import ReportInputError, from_coco
from vfnet_d2.evaluation.report.gallery import add_pictures
from vfnet_d2.evaluation.report.results import readable_truth, results_of
from vfnet_d2.evaluation.report.write import write_report
from vfnet_d2.inference.plain import PlainInference
from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.modeling.detector import is_detector
from vfnet_d2.utils.files import write_text

logger = logging.getLogger(__name__)

DETECTIONS_FILE = "detections.json"
# Looked at again, without a score threshold, when a model finds nothing at all.
_EXAMINED_IMAGES = 8


class ReportOptions(NamedTuple):
    """How a report is made; see :func:`~vfnet_d2.evaluation.report.build.make_report`."""

    score_thresh: float | None = None
    evaluator: str = AUTO
    gallery: int = 12


def evaluate_files(
    ground_truth: Path,
    detections: Path,
    output: Path,
    *,
    image_root: Path | None = None,
    title: str = "",
    options: ReportOptions | None = None,
) -> dict[str, Any]:
    """Write the report on detections in a file.

    Args:
        ground_truth: COCO JSON.
        detections: COCO results JSON.
        output: folder of the report; made if needed.
        image_root: folder of the images; None takes the usual one of a COCO dataset.
        title: what the page calls the dataset; "" for the name of its file.
        options: of the report.

    Returns:
        the report; it also lies in ``output``.

    Raises:
        OSError: a file cannot be read.
        ReportInputError: it is no JSON, or not of the format.
    """
    truth = readable_truth(_read_json(ground_truth), ground_truth)
    data = from_coco(truth, results_of(_read_json(detections), truth, detections))
    root = image_root or _usual_root(ground_truth)
    report = make_report(
        data,
        about={"model": detections.stem, "dataset": title or ground_truth.stem},
        **(options or ReportOptions())._asdict(),
    )
    add_pictures(report, {image.image_id: root / image.file_name for image in data.images})
    write_report(report, output)
    return report


def evaluate_model(
    predictor: Predictor,
    dataset: str,
    output: Path,
    *,
    title: str = "",
    weights: str = "",
    options: ReportOptions | None = None,
    num_workers: int = 0,
) -> dict[str, Any]:
    """Run a model over a registered dataset and write the report.

    Args:
        predictor: the model and the preprocessing of its test set.
        dataset: name of a registered dataset whose classes are in the order of the model's.
        output: folder of the report and of ``detections.json``; made if needed.
        title: what the page calls the dataset; "" for its name.
        weights: file of the model, for the page; "" leaves it out.
        options: of the report.
        num_workers: processes that read images.

    Returns:
        the report; it also lies in ``output``.

    Raises:
        OSError: files of the dataset are missing.
        ReportInputError: model and dataset have different numbers of classes.
    """
    items = load_dataset(dataset, filter_empty=False)
    model: Any = predictor.model
    try:
        check_num_classes(model.num_classes, [dataset], key="the model's number of classes")
    except ValueError as error:
        raise ReportInputError(str(error)) from error
    truth = _read_json(_ground_truth_file(dataset, output))
    found = detect(predictor, items, category_ids(dataset, truth), num_workers=num_workers)
    write_text(output / DETECTIONS_FILE, json.dumps(found))
    report = make_report(
        from_coco(truth, found),
        about={
            "model": type(predictor.model).__name__,
            "dataset": title or dataset,
            **({"weights": weights} if weights else {}),
        },
        hidden=None if found else hidden_scores(predictor, items[:_EXAMINED_IMAGES]),
        **(options or ReportOptions())._asdict(),
    )
    add_pictures(report, {item["image_id"]: item["file_name"] for item in items})
    write_report(report, output)
    return report


def detect(
    predictor: Predictor,
    items: Sequence[dict[str, Any]],
    ids: Sequence[int],
    *,
    num_workers: int = 0,
) -> list[dict[str, Any]]:
    """Detections of a dataset as COCO results, the way Detectron2's evaluation makes them.

    Args:
        predictor: model and preprocessing.
        items: dataset dicts.
        ids: category id of each class of the model.
        num_workers: processes that read images; views and tiles are made in this one.
    """
    results = []
    for image_id, found in _found_in(predictor, items, num_workers=num_workers):
        results += instances_to_coco_json(found, image_id)
    for entry in results:
        entry["category_id"] = ids[entry["category_id"]]
    return results


def _found_in(
    predictor: Predictor, items: Sequence[dict[str, Any]], *, num_workers: int
) -> Iterator[tuple[Any, Instances]]:
    """Image id and detections of each item."""
    if not isinstance(predictor.inference, PlainInference):
        for item in tqdm(items, desc="Evaluating", unit="image"):
            yield item["image_id"], predictor(item["file_name"])
        return
    loader = build_detection_test_loader(
        dataset=list(items), mapper=predictor.mapper, num_workers=num_workers
    )
    for batch in tqdm(loader, desc="Evaluating", unit="batch"):
        for item, found in zip(batch, predictor.run_model(batch), strict=True):
            yield item["image_id"], found


def hidden_scores(
    predictor: Predictor, items: Sequence[dict[str, Any]]
) -> tuple[float, float] | None:
    """Return the score threshold of a model, and the highest score on some images without it.

    None for models that have none, or that find nothing even so.
    """
    if not is_detector(predictor.model):
        return None
    threshold = predictor.options.score_threshold
    if threshold is None:
        threshold = predictor.model.inference_settings.score_thresh
    scores = [predictor(item, score_threshold=0.0).scores for item in items]
    best = [float(found.max()) for found in scores if len(found)]
    return (float(threshold), max(best)) if best else None


def category_ids(dataset: str, truth: Mapping[str, Any]) -> list[int]:
    """Category id of each class of a registered and loaded dataset."""
    known = MetadataCatalog.get(dataset).get("thing_dataset_id_to_contiguous_id")
    if known is None:
        return sorted(entry["id"] for entry in truth["categories"])
    return sorted(known, key=known.__getitem__)


def _ground_truth_file(dataset: str, output: Path) -> Path:
    """The COCO JSON of a loaded dataset; one that has none gets it in the output folder."""
    file = MetadataCatalog.get(dataset).get("json_file")
    if file is not None:
        return Path(file)
    written = output / "ground_truth.json"
    convert_to_coco_json(dataset, str(written), allow_cached=False)
    return written


def _usual_root(ground_truth: Path) -> Path:
    try:
        return open_dataset(ground_truth).root
    except FormatError:
        return ground_truth.parent


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReportInputError(f"{path} is not JSON: {error}") from error
