"""The time of the data: reading, resizing and mirroring training images, as a loader does."""

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from benchmarks.timing import Parts, Stopwatch
from vfnet_d2.augmentation.mapper import training_mapper

PHOTO = (480, 640)  # height and width of most photographs of COCO


def write_photos(folder: Path, *, images: int, boxes: int, seed: int = 0) -> list[dict[str, Any]]:
    """Write JPEG files of coarse noise, which compress as photographs do, and describe them.

    Args:
        folder: an existing one.
        images: how many.
        boxes: annotations of each, of class 0.
        seed: of the noise.

    Returns:
        dicts as a Detectron2 dataset has them.
    """
    rng = np.random.default_rng(seed)
    height, width = PHOTO
    records = []
    for number in range(images):
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
        corners = rng.uniform(0, 0.5, (boxes, 2)) * (width, height)
        annotation = {"bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0}
        annotations = [{**annotation, "bbox": [x, y, 100.0, 80.0]} for x, y in corners.tolist()]
        records.append(
            {
                "file_name": str(path),
                "image_id": number,
                "height": height,
                "width": width,
                "annotations": annotations,
            }
        )
    return records


def data_job(cfg: CfgNode, *, images: int, boxes: int) -> Callable[[], Parts]:
    """Bind reading and augmenting a batch of photographs as a config says, in one process.

    Args:
        cfg: of the training.
        images: of the batch.
        boxes: annotations of each image.
    """
    folder = tempfile.mkdtemp(prefix="vfnet_d2_photos_")
    records = write_photos(Path(folder), images=images, boxes=boxes)
    job = functools.partial(_read, records, training_mapper(cfg))
    # The folder lives as long as what reads from it, or the process.
    weakref.finalize(job, shutil.rmtree, folder, ignore_errors=True)
    return job


def _read(records: list[dict[str, Any]], mapper: Any) -> Parts:
    watch = Stopwatch(torch.device("cpu"))
    for record in records:
        mapper(record)
    watch.mark("data")
    return watch.parts
