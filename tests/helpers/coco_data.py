"""Small COCO datasets on disk, registered for the time of a test."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from PIL import Image

CLASSES = ("circle", "square", "triangle", "star", "cross")


def write_coco(
    folder: Path,
    annotations: Sequence[Sequence[dict[str, Any]]],
    *,
    size: tuple[int, int] = (160, 160),
) -> Path:
    """Write images of noise and their annotations; return the path of the COCO JSON.

    Args:
        folder: gets ``annotations.json`` and ``images/000000.png`` and so on.
        annotations: per image its annotations, each with "bbox" (x, y, width, height) in pixels;
            other COCO keys have defaults. Their ids count from 1 through all images.
        size: width and height of every image.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    generator = np.random.default_rng(0)
    entries = []
    for index, items in enumerate(annotations):
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{index:06d}.png")
        entries += [{"category_id": 1, "iscrowd": 0, **a, "image_id": index} for a in items]
    content = {
        "images": [
            {"id": i, "file_name": f"{i:06d}.png", "width": size[0], "height": size[1]}
            for i in range(len(annotations))
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
        "annotations": [
            {"id": i, "area": abs(a["bbox"][2] * a["bbox"][3]), **a}
            for i, a in enumerate(entries, start=1)
        ],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@contextmanager
def registered_coco(folder: Path, *, name: str = "coco_of_a_test") -> Iterator[str]:
    """Register what :func:`write_coco` wrote and yield the dataset's name; forget it afterwards."""
    json_file, image_root = str(folder / "annotations.json"), str(folder / "images")
    register_coco_instances(name, {}, json_file, image_root)
    try:
        yield name
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
