"""Registering a dataset of any format in Detectron2's catalogs."""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from vfnet_d2.data.formats.coco import CocoReader
from vfnet_d2.data.formats.opening import open_dataset
from vfnet_d2.data.formats.reader import FormatError, Reader
from vfnet_d2.data.formats.records import ImageRecord, findings_of, records_of
from vfnet_d2.data.formats.write import finite, write_coco_json

logger = logging.getLogger(__name__)

_REWRITTEN = ("converted-value", "missing-value")
_SHOWN = 5  # findings listed one by one before the rest is only counted


def register_dataset(
    name: str,
    path: str | Path,
    *,
    format_name: str | None = None,
    split: str | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    cache: str | Path | None = None,
) -> tuple[str, ...]:
    """Register a split with Detectron2, in place of one of the same name.

    Loading it fills in ``json_file``, which COCO evaluation reads: the dataset's own file if it
    is COCO JSON without errors and with its own classes, else one written into ``cache``.

    Args:
        name: in Detectron2's catalogs.
        path: a folder, or an annotation file.
        format_name: "coco", "voc", "yolo" or "jsonl"; None looks at the path.
        split: such as "train" or "val"; None takes the only split, or the training set.
        root: folder below which all images lie; None takes what the format expects.
        classes: class names in the wanted order, such as those of the training set or of a
            checkpoint; None takes those of the dataset.
        cache: folder of the written COCO JSON; None takes ``vfnet_d2`` in the user's cache.

    Returns:
        The class names.

    Raises:
        FormatError: as ``open_dataset``, or the dataset names no classes.
    """
    reader = open_dataset(path, format_name=format_name, split=split, root=root, classes=classes)
    if not reader.classes:
        problem = next(iter(findings_of(reader.read())), None)
        raise FormatError(f"{path} names no classes. {problem or ''}".strip())
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    written = _cache_file(reader, Path(cache) if cache is not None else None)
    DatasetCatalog.register(name, lambda: _load(name, reader, written))
    MetadataCatalog.get(name).set(
        thing_classes=list(reader.classes),
        image_root=str(reader.root),
        evaluator_type="coco",
    )
    return reader.classes


def dataset_dict(record: ImageRecord) -> dict[str, Any]:
    """Detectron2's dict of an image."""
    return {
        "file_name": record.path,
        "image_id": record.image_id,
        "width": record.width,
        "height": record.height,
        "annotations": [
            {
                "bbox": list(annotation.box),
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": annotation.class_index,
                "iscrowd": int(annotation.iscrowd),
                **({} if annotation.annotation_id is None else {"id": annotation.annotation_id}),
            }
            for annotation in record.annotations
        ],
    }


def _load(name: str, reader: Reader, written: Path) -> list[dict[str, Any]]:
    """Read the dataset and say in its metadata which COCO JSON belongs to it.

    Raises:
        FormatError: it has no image that can be used.
    """
    readings = list(reader.read())
    findings = list(findings_of(readings))
    # Images of unknown size cannot be read either; `vfnet data check` names them.
    records = [record for record in records_of(readings) if record.width and record.height]
    dropped = sum(1 for _ in records_of(readings)) - len(records)
    advice = f"`vfnet data check {reader.path}` says more"
    if not records:
        problem = findings[0] if findings else "no images"
        raise FormatError(f"dataset {name!r} has no usable image: {problem}; {advice}")
    if findings or dropped:
        shown = "".join(f"\n  {finding}" for finding in findings[:_SHOWN])
        logger.warning(
            "dataset %r: %d findings, %d unreadable images left out; %s%s",
            name,
            len(findings),
            dropped,
            advice,
            shown,
        )
    metadata = MetadataCatalog.get(name)
    # COCO evaluation reads the file as it is: a converted or filled in value is not there.
    unlike = any(f.severity == "error" or f.code in _REWRITTEN for f in findings)
    if isinstance(reader, CocoReader) and not unlike and reader.given_classes is None:
        json_file = reader.path
        ids = {category: index for index, category in enumerate(reader.category_ids)}
    else:
        json_file = written
        ids = {index + 1: index for index in range(len(reader.classes))}
        names = [os.path.relpath(record.path, reader.root) for record in records]
        write_coco_json(written, [finite(record) for record in records], names, reader.classes)
    if metadata.get("json_file") is None:
        metadata.set(
            json_file=str(json_file),
            thing_dataset_id_to_contiguous_id=ids,
        )
    return [dataset_dict(record) for record in records]


def _cache_file(reader: Reader, cache: Path | None) -> Path:
    """Where the COCO JSON of a split is written; another dataset or class list has another."""
    if cache is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = Path(home) / "vfnet_d2"
    key = repr((str(reader.path.resolve()), reader.split, str(reader.root), reader.classes))
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return cache / f"{digest}.json"
