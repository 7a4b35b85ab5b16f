"""The datasets of a fine-tuning: found, checked, and with a validation set held out if needed."""

import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vfnet_d2.check.across import Split
from vfnet_d2.check.run import quick_check
from vfnet_d2.data.formats.opening import open_dataset, open_splits
from vfnet_d2.data.formats.reader import FormatError, Reader
from vfnet_d2.data.formats.records import ImageRecord
from vfnet_d2.data.formats.register import register_dataset
from vfnet_d2.data.formats.write import write_coco_json

logger = logging.getLogger(__name__)

TRAIN_NAME, VAL_NAME = "vfnet_train", "vfnet_val"
# One image in ten is usual, and a few hundred are enough to compare checkpoints by.
HELD_OUT_PART = 10
HELD_OUT_MOST = 1000
# Always the same, so that trainings of the same data can be compared.
HELD_OUT_SEED = 0


class Source(NamedTuple):
    """Where a split is; other processes register it by this.

    Attributes:
        path: of the dataset.
        format_name: of the dataset.
        split: "" for the only one.
        root: folder below which all images lie; None takes what the format expects.
    """

    path: str
    format_name: str
    split: str
    root: str | None


class TrainingData(NamedTuple):
    """A training and a validation set.

    Attributes:
        train: of the training set.
        val: of the validation set.
        classes: names of the training set's classes.
        num_images: with objects, in the training set.
        notes: what the user should know.
    """

    train: Source
    val: Source
    classes: tuple[str, ...]
    num_images: int
    notes: list[str]

    def register(self, *, cache: Path | None = None) -> None:
        """Register both with Detectron2, under TRAIN_NAME and VAL_NAME.

        Args:
            cache: folder for the COCO JSON of other formats; None takes the user's.
        """
        for name, source in ((TRAIN_NAME, self.train), (VAL_NAME, self.val)):
            # The class list of the training set alone says which index is which.
            classes = None if name == TRAIN_NAME else self.classes
            register_dataset(name, classes=classes, cache=cache, **source._asdict())


def find_training_data(
    path: str,
    *,
    val: str | None = None,
    format_name: str | None = None,
    root: str | None = None,
    held_out: Path,
    resume: bool = False,
) -> TrainingData:
    """Open the splits of a dataset, check them, and hold out a validation set if there is none.

    Args:
        path: folder, or annotation file.
        val: the validation set, if it is not found below ``path``.
        format_name: of ``path``; None looks at it.
        root: folder below which all images lie; None takes what the format expects.
        held_out: folder for the COCO JSON of both parts, if one must be held out.
        resume: take the parts that are in ``held_out`` already.

    Raises:
        FormatError: no such dataset, or no validation set can be had.
        DatasetError: it has errors.
    """
    place = {"format_name": format_name, "root": root}
    splits = open_splits(path, **place)
    train = open_dataset(path, **place)
    if val is not None:
        # The format is looked for again: it may be another one.
        wanted = "val" if len(open_splits(val, root=root)) > 1 else None
        validation: Reader | None = open_dataset(
            val, split=wanted, root=root, classes=train.classes or None
        )
    else:
        validation = _own_validation(splits, train)
    readers = {"train": train} if validation is None else {"train": train, "val": validation}
    report = quick_check(readers)
    notes = [f"{_described(train)}: {_counted(report.splits['train'])}"]
    if validation is None:
        return _hold_out(train, report.splits["train"], held_out, notes, resume=resume)
    notes.append(f"validation, {_described(validation)}: {_counted(report.splits['val'])}")
    return TrainingData(
        _source(train, path, root),
        _source(validation, val or path, root),
        train.classes,
        _with_objects(report.splits["train"].records),
        notes,
    )


def _own_validation(splits: dict[str, Reader], train: Reader) -> Reader | None:
    """The split "val" beside the training set, if there is one."""
    found = [name for name in splits if name.lower().startswith("val")]
    return splits[found[0]] if found and splits[found[0]].split != train.split else None


def _source(reader: Reader, path: str, root: str | None) -> Source:
    return Source(str(path), reader.name, reader.split, root)


def _hold_out(
    reader: Reader, split: Split, folder: Path, notes: list[str], *, resume: bool
) -> TrainingData:
    """Write the two parts as COCO JSON into a folder, or take those that are there."""
    paths = {name: folder / f"{name}.json" for name in ("train", "val")}
    records = split.records
    root = os.path.commonpath([os.path.dirname(os.path.abspath(r.path)) for r in records])
    if resume and all(path.exists() for path in paths.values()):
        # New images must not move others from one part into the other.
        notes.append(f"validation set: the images of {paths['val']}, held out when it began")
    else:
        chosen = held_out_images(records)
        parts = {
            "train": [r for index, r in enumerate(records) if index not in chosen],
            "val": [r for index, r in enumerate(records) if index in chosen],
        }
        for name, part in parts.items():
            names = [os.path.relpath(os.path.abspath(r.path), root) for r in part]
            write_coco_json(paths[name], part, names, reader.classes)
        notes.append(
            f"validation set: {len(chosen)} of {len(records)} images, held out by lot (1 in "
            f"{HELD_OUT_PART}, seed {HELD_OUT_SEED}), since the dataset has no split val; see "
            f"{folder}. If images resemble each other, as frames of a video do, give --val"
        )
    train, val = (Source(str(path), "coco", "", root) for path in paths.values())
    written = open_dataset(paths["train"], format_name="coco", root=root)
    images = [reading for reading in written.read() if isinstance(reading, ImageRecord)]
    return TrainingData(train, val, reader.classes, _with_objects(images), notes)


def held_out_images(records: Sequence[ImageRecord]) -> set[int]:
    """Choose the positions of the images to validate with.

    Images with and without objects are drawn separately, so that both parts have both.

    Raises:
        FormatError: fewer than two images have objects.
    """
    groups: list[list[int]] = [[], []]
    for index, record in enumerate(records):
        groups[any(not a.iscrowd for a in record.annotations)].append(index)
    empty, full = groups
    if len(full) < 2:
        raise FormatError(
            f"the dataset has no split val, and of {len(full)} image with objects none can be "
            "held out: give --val"
        )
    draw = random.Random(HELD_OUT_SEED)
    part = min(1 / HELD_OUT_PART, HELD_OUT_MOST / len(records))
    chosen = draw.sample(full, max(1, round(part * len(full))))
    return {*chosen, *draw.sample(empty, round(part * len(empty)))}


def _with_objects(records: Sequence[ImageRecord]) -> int:
    return sum(any(not a.iscrowd for a in record.annotations) for record in records)


def _described(reader: Reader) -> str:
    return f"{reader.path}{f' ({reader.split})' if reader.split else ''}, {reader.name}"


def _counted(split: Split) -> str:
    objects = sum(len(record.annotations) for record in split.records)
    return (
        f"{len(split.records):,} images, {objects:,} objects, "
        f"{len(split.reader.classes)} classes ({', '.join(split.reader.classes[:8])}"
        f"{', ...' if len(split.reader.classes) > 8 else ''})"
    )
