"""The synthetic shapes dataset: written to disk in COCO format, registered with Detectron2.

Five classes of shapes, filled or outlined, rotated, overlapping, of low contrast on textured
backgrounds. ``shapes_config`` holds the arguments, ``shapes_scene`` says what is in an image and
``shapes_render`` draws it; the same ``ShapesConfig`` gives the same pixels everywhere.
"""

import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from vfnet_d2.shapes.config import SHAPES_CLASSES, ShapesConfig
from vfnet_d2.shapes.scene import render_image

__all__ = [
    "SHAPES_CLASSES",
    "SHAPES_SPLITS",
    "ShapesConfig",
    "make_shapes",
    "register_shapes",
    "render_image",
]

# Increased whenever the same ShapesConfig gives other pixels or other annotations than before.
GENERATOR_VERSION = 1

# shapes_dev is for choosing settings, so that shapes_val is seen by the final evaluation only.
SHAPES_SPLITS: Mapping[str, ShapesConfig] = {
    "shapes_train": ShapesConfig(num_images=4000, seed=1),
    "shapes_val": ShapesConfig(num_images=200, seed=2),
    "shapes_dev": ShapesConfig(num_images=200, seed=3),
}

_MOST_WORKERS = 8
_CHUNK = 16  # images a worker takes at a time

logger = logging.getLogger(__name__)

Annotations = list[dict[str, Any]]

_registered: dict[str, tuple[Path, ShapesConfig]] = {}


def make_shapes(directory: str | Path, config: ShapesConfig, *, workers: int | None = None) -> Path:
    """Write a dataset, or find that it is there already.

    The dataset appears in ``directory`` at once when it is complete: ``annotations.json`` and
    ``images/000000.png`` and so on. If several processes make the same one, the first to finish
    wins and the others use its files.

    Args:
        directory: where the dataset goes; its parents are made.
        config: what to draw.
        workers: processes that draw; 0 draws in this one, None takes one per available core, at
            most 8.

    Returns:
        The path of ``annotations.json``.

    Raises:
        ValueError: if ``directory`` holds a dataset of other arguments, or something else.
        FileNotFoundError: if ``directory`` holds this dataset with images missing.
    """
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        return _check_existing(directory, config)
    logger.info("Making the dataset %s: %d images", directory, config.num_images)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, so that os.replace stays inside one file system. The dataset is one level below,
    # because mkdtemp makes a directory that no other user can read.
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        _write_dataset(scratch / "dataset", config, _count_workers(workers, config))
        try:
            os.replace(scratch / "dataset", directory)
        except OSError:
            if not directory.exists():
                raise
            return _check_existing(directory, config)  # another process was faster
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    logger.info("Made the dataset %s", directory)
    return directory / "annotations.json"


def _check_existing(directory: Path, config: ShapesConfig) -> Path:
    """The path of the annotations if they are those of ``config``; raises like make_shapes."""
    path = directory / "annotations.json"
    remedy = "Delete it to have it made again, or choose another directory."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["info"]
        found = {"generator_version": found["generator_version"], **found["config"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{directory} exists but holds no shapes dataset. {remedy}") from error
    expected = {"generator_version": GENERATOR_VERSION, **asdict(config)}
    if found != expected:
        differences = ", ".join(
            f"{key}: found {found.get(key)!r}, expected {expected.get(key)!r}"
            for key in {**expected, **found}
            if found.get(key) != expected.get(key)
        )
        raise ValueError(
            f"{directory} holds a shapes dataset of other arguments ({differences}). {remedy}"
        )
    count = sum(1 for _ in (directory / "images").glob("*.png"))
    if count != config.num_images:
        raise FileNotFoundError(
            f"{directory / 'images'} holds {count} PNG files, expected {config.num_images}. "
            f"{remedy}"
        )
    return path


def _count_workers(workers: int | None, config: ShapesConfig) -> int:
    if workers is None:
        affinity = getattr(
            os, "sched_getaffinity", None
        )  # Linux only; knows the limits of a container
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        workers = min(cores, _MOST_WORKERS)
        # Daemonic processes may not have children, and few images are not worth a pool.
        if multiprocessing.current_process().daemon or config.num_images < 4 * _CHUNK:
            workers = 0
    if workers < 0:
        raise ValueError(f"workers={workers} must be 0 or more")
    return workers


def _write_dataset(directory: Path, config: ShapesConfig, workers: int) -> None:
    images = directory / "images"
    images.mkdir(parents=True)
    write = partial(_write_image, images, config)
    with _map_in_order(write, config.num_images, workers) as results:
        # A bar in a terminal; in a log file the lines of make_shapes say it all.
        bar = tqdm(
            results,
            total=config.num_images,
            desc=f"shapes (seed {config.seed})",
            unit="image",
            disable=None,
        )
        content = _describe(config, list(bar))
    text = json.dumps(content, separators=(",", ":"))
    (directory / "annotations.json").write_text(text, encoding="utf-8")


@contextmanager
def _map_in_order(
    write: partial[Annotations], count: int, workers: int
) -> Iterator[Iterator[Annotations]]:
    if workers == 0:
        yield map(write, range(count))
        return
    # Forked workers need neither the import of torch and Detectron2 nor a guarded main module. They
    # use none of the locks that other threads may hold here, which is what Python warns of.
    method = "fork" if sys.platform == "linux" else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        pool = multiprocessing.get_context(method).Pool(workers)
    with pool:
        yield pool.imap(write, range(count), chunksize=_CHUNK)


def _write_image(directory: Path, config: ShapesConfig, index: int) -> Annotations:
    pixels, annotations = render_image(config, index)
    Image.fromarray(pixels).save(directory / f"{index:06d}.png", compress_level=3)
    return annotations


def _describe(config: ShapesConfig, annotations: list[Annotations]) -> dict[str, Any]:
    """The COCO JSON of a dataset from the annotations of each image."""
    size = config.image_size
    flat = [{"image_id": i, **item} for i, items in enumerate(annotations) for item in items]
    return {
        "info": {
            "description": "Synthetic shapes for object detection",
            "generator_version": GENERATOR_VERSION,
            "config": asdict(config),
        },
        "licenses": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(SHAPES_CLASSES, start=1)],
        "images": [
            {"id": i, "file_name": f"{i:06d}.png", "width": size, "height": size}
            for i in range(config.num_images)
        ],
        # From 1: COCO's evaluation takes a match with the annotation 0 for no match.
        "annotations": [{"id": i, **item} for i, item in enumerate(flat, start=1)],
    }


def register_shapes(
    root: str | Path | None = None, *, splits: Mapping[str, ShapesConfig] = SHAPES_SPLITS
) -> None:
    """Register the splits in Detectron2's catalogs; a dataset is made when it is first loaded.

    Registering again is harmless, and moves the splits when the root or the arguments are others.

    Args:
        root: the directory of the datasets' directories; None takes the environment variable
            ``DETECTRON2_DATASETS``, else ``datasets``.
        splits: the name of each split, which is also that of its directory, and its arguments.
    """
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if root is None:
        root = os.environ.get("DETECTRON2_DATASETS", "datasets")
    for name, config in splits.items():
        directory = Path(root).expanduser() / name
        if name in DatasetCatalog:
            if _registered.get(name) == (directory, config):
                continue  # keeps what the user may have added to the metadata
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        DatasetCatalog.register(name, partial(_load_split, name, directory, config))
        MetadataCatalog.get(name).set(
            thing_classes=list(SHAPES_CLASSES),
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(SHAPES_CLASSES))},
            json_file=str(directory / "annotations.json"),
            image_root=str(directory / "images"),
            evaluator_type="coco",
            made_on_first_use=True,
        )
        _registered[name] = (directory, config)


def _load_split(name: str, directory: Path, config: ShapesConfig) -> list[dict[str, Any]]:
    from detectron2.data.datasets import load_coco_json

    annotations = make_shapes(directory, config)
    dicts: list[dict[str, Any]] = load_coco_json(str(annotations), str(directory / "images"), name)
    return dicts
