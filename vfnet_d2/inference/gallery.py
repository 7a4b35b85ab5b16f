"""Folders of pictures: predictions of image files, or beside the ground truth of a test set."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from tqdm import tqdm

from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.visualization.pictures import (
    draw_ground_truth,
    draw_predictions,
    save_picture,
    side_by_side,
    stack,
    with_caption,
)

_OVERVIEW_ROWS = 5


def draw_files(
    predictor: Predictor,
    files: Sequence[str],
    output: str,
    *,
    score_thresh: float,
    scale: float = 1.0,
) -> list[Path]:
    """Write a picture of the predictions of each image file.

    Args:
        predictor: makes the predictions.
        files: image files.
        output: folder of the pictures; made if needed.
        score_thresh: lowest score drawn.
        scale: enlargement.

    Returns:
        paths of the pictures, in the order of ``files``. Files of one name get numbers, and no
        picture takes the place of an input file.

    Raises:
        FileNotFoundError: an image file does not exist; nothing is written then.
    """
    missing = [name for name in files if not os.path.isfile(name)]
    if missing:
        raise FileNotFoundError(f"{len(missing)} input images do not exist, first {missing[0]}")
    metadata = MetadataCatalog.get(_first_dataset(predictor))
    Path(output).mkdir(parents=True, exist_ok=True)
    taken = {Path(name).resolve() for name in files}
    paths: list[Path] = []
    for name in tqdm(files, desc="Predicting", unit="image"):
        detections = predictor({"file_name": name})
        picture = draw_predictions(
            name, detections, metadata, score_thresh=score_thresh, scale=scale
        )
        paths.append(_free_path(Path(output), Path(name).stem, taken))
        save_picture(picture, paths[-1])
    return paths


def _free_path(folder: Path, stem: str, taken: set[Path]) -> Path:
    """Return ``stem.png``, or ``stem_2.png`` and so on where that is taken, and take it."""
    path, number = folder / f"{stem}.png", 1
    while path.resolve() in taken:
        number += 1
        path = folder / f"{stem}_{number}.png"
    taken.add(path.resolve())
    return path


def draw_dataset(
    predictor: Predictor,
    output: str,
    *,
    max_images: int,
    score_thresh: float,
    scale: float = 1.0,
) -> list[Path]:
    """Write pictures of ground truth beside predictions for the first test set, and an overview.

    Args:
        predictor: makes the predictions.
        output: folder of the pictures; made if needed.
        max_images: pictures of the test set, taken from its start.
        score_thresh: lowest score drawn.
        scale: enlargement.

    Returns:
        paths of the pictures; the last one is ``overview.png``, several images in one. Images of
        one name in several folders get numbers.

    Raises:
        ValueError: ``max_images`` is below 1, or the config names no test set.
    """
    if max_images < 1:
        raise ValueError(f"max_images is {max_images}; at least 1 picture is needed")
    name = _first_dataset(predictor)
    dicts = DatasetCatalog.get(name)[:max_images]
    metadata = MetadataCatalog.get(name)
    Path(output).mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    rows: list[np.ndarray] = []
    overview = Path(output) / "overview.png"
    taken = {overview.resolve()}
    for item in tqdm(dicts, desc="Drawing", unit="image"):
        detections = predictor(item)
        truth = with_caption(draw_ground_truth(item, metadata, scale=scale), "ground truth")
        predicted = with_caption(
            draw_predictions(
                item["file_name"], detections, metadata, score_thresh=score_thresh, scale=scale
            ),
            f"predictions, score >= {score_thresh:g}",
        )
        row = side_by_side([truth, predicted])
        paths.append(_free_path(Path(output), Path(item["file_name"]).stem, taken))
        save_picture(row, paths[-1])
        if len(rows) < _OVERVIEW_ROWS:
            rows.append(row)
    paths.append(overview)
    save_picture(stack(rows), paths[-1])
    return paths


def _first_dataset(predictor: Predictor) -> str:
    """Name of the test set that has the images or, at least, the class names."""
    if not predictor.test_datasets:
        raise ValueError(
            "the config names no test set: set DATASETS.TEST (YAML) or "
            "dataloader.test.dataset.names (LazyConfig), which also names the classes"
        )
    return predictor.test_datasets[0]
