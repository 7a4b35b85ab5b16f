"""A corrected copy of a dataset, in COCO format; the original is never touched."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from vfnet_d2.check.across import Split
from vfnet_d2.check.boxes import box_findings, clip_box
from vfnet_d2.check.images import ImageFacts
from vfnet_d2.check.run import DatasetError
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.records import Annotation, BoxCorners, ImageRecord
from vfnet_d2.data.formats.write import image_names, write_coco_json
from vfnet_d2.utils.files import new_folder, write_text

_JPEG_QUALITY = 95
# Boxes that no clipping can help.
_LOST = ("box-not-finite", "box-inverted", "box-without-area", "box-off-image")


# What the copy has otherwise because of how the original was read; errors are left out.
_WRITTEN = {
    "converted-value": "wrote a value as it was read",
    "missing-value": "filled in missing values",
    "other-filename": "gave an image the name of its annotations",
    "moved-path": "wrote a path as it was found",
    "other-spelling": "wrote a path as it was found",
    "moved-dataset": "wrote a path as it was found",
    "ignored-numbers": "left out numbers that are no box",
    "annotation-id-zero": "numbered ids anew",
    "sparse-category-ids": "numbered ids anew",
    "unnamed-classes": "named the classes",
    "left-out-file": "did not copy files that are not read",
}


class Change(NamedTuple):
    """One thing that the copy has otherwise: what was done, and to what."""

    kind: str
    place: str


def write_fixed(splits: Mapping[str, Split], folder: Path) -> list[Change]:
    """Write a corrected copy: ``annotations.json``, ``images/`` and ``changes.txt``.

    Boxes are clipped, those that are not finite, inverted, without area or outside the image are
    left out, and so are images that cannot be read and annotations that make no sense. Images
    that EXIF turns are stored upright; where they were annotated as stored, the boxes turn with
    them. Everything else is copied as it is.

    Args:
        splits: of a full check; each goes into a folder of its name if there are several.
        folder: must not exist, or be empty; appears when it is complete.

    Returns:
        Everything that was changed.

    Raises:
        FileExistsError: there is something at ``folder``.
        DatasetError: no image, or none of the objects, of a split would be left.
    """
    if not any(record.annotations for split in splits.values() for record in split.records):
        raise DatasetError(f"{folder} is not written: there is no object, so none would be left")
    changes: list[Change] = []
    with new_folder(folder) as scratch:
        for name, split in splits.items():
            target = scratch / name if len(splits) > 1 else scratch
            changes += _write_split(split, target)
        text = "".join(f"{change.kind}: {change.place}\n" for change in changes)
        write_text(scratch / "changes.txt", text)
    return changes


def _write_split(split: Split, folder: Path) -> list[Change]:
    changes = list(map(_of_reading, split.unread))
    kept: list[tuple[ImageRecord, ImageFacts]] = []
    for record, facts in zip(split.records, split.facts, strict=True):
        if facts.stored == (0, 0):
            problem = facts.problem[1] if facts.problem else ""
            changes.append(Change("left out an image", f"{record.path}: {problem}"))
            changes += [
                Change(
                    "left out a box", f"{record.path}, {annotation.where}: its image is left out"
                )
                for annotation in record.annotations
            ]
        else:
            fixed, made = _fix_record(record, facts)
            changes += made
            kept.append((fixed, facts))
    records = [record for record, _ in kept]
    _refuse_empty(split, records, changes)
    names = image_names(records)
    for (record, facts), name in zip(kept, names, strict=True):
        target = folder / "images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if facts.orientation == 1:
            shutil.copyfile(record.path, target)
        else:
            _store_upright(record.path, target)
    write_coco_json(folder / "annotations.json", records, names, split.reader.classes)
    return changes


def _of_reading(finding: Finding) -> Change:
    """What a finding about the annotation files means for the copy."""
    if finding.severity == "error":
        return Change("left out what cannot be read", str(finding))
    return Change(_WRITTEN.get(finding.code, "wrote what was read"), str(finding))


def _refuse_empty(split: Split, records: Sequence[ImageRecord], changes: Sequence[Change]) -> None:
    """Raise DatasetError if nothing to learn from would be left."""
    objects = sum(len(record.annotations) for record in records)
    left_out = [change for change in changes if change.kind.startswith("left out")]
    # A set of empty images, for validation, may be meant; one that lost its objects is not.
    if records and (objects or not left_out):
        return
    first = f", such as {left_out[0].place}" if left_out else ""
    missing = "image" if not records else "object"
    raise DatasetError(
        f"the corrected copy of {split.file} is not written: no {missing} would be left; "
        f"{len(left_out):,} things would be left out{first}. Correct the dataset itself"
    )


def _fix_record(record: ImageRecord, facts: ImageFacts) -> tuple[ImageRecord, list[Change]]:
    """The record as it should be, and what that changes."""
    changes = []
    width, height = facts.upright
    recorded = (record.width, record.height)
    annotations = record.annotations
    if facts.orientation != 1:
        changes.append(Change("stored an image upright", record.path))
    # A square image does not tell; Detectron2 takes boxes to be those of the upright one.
    if facts.upright != facts.stored and recorded == facts.stored:
        annotations = tuple(_turned(a, facts) for a in annotations)
        changes.append(Change("turned boxes with their image", record.path))
    elif recorded != facts.upright:
        old, new = (f"{w} x {h}" for w, h in (recorded, facts.upright))
        changes.append(Change("recorded the real size", f"{record.path}: {new} instead of {old}"))
        if record.normalised and record.width and record.height:
            factors = (width / record.width, height / record.height)
            annotations = tuple(_scaled(a, *factors) for a in annotations)
    kept = []
    resized = record._replace(width=width, height=height)
    for annotation in annotations:
        alone = resized._replace(annotations=(annotation,))
        lost = [finding for finding in box_findings(alone) if finding.code in _LOST]
        if lost:
            changes.append(Change("left out a box", str(lost[0])))
            continue
        box = clip_box(annotation.box, width, height)
        if box != annotation.box:
            place = f"{record.path}, {annotation.where}"
            changes.append(Change("clipped a box", place))
        # The area may be that of a mask, so it changes as the box does.
        part = _area(box) / _area(annotation.box)
        kept.append(annotation._replace(box=box, area=annotation.area * part))
    return resized._replace(annotations=tuple(kept)), changes


def _area(box: BoxCorners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _scaled(annotation: Annotation, x_factor: float, y_factor: float) -> Annotation:
    x1, y1, x2, y2 = annotation.box
    box = (x1 * x_factor, y1 * y_factor, x2 * x_factor, y2 * y_factor)
    return annotation._replace(box=box, area=annotation.area * x_factor * y_factor)


def _turned(annotation: Annotation, facts: ImageFacts) -> Annotation:
    """An object of the stored image in the upright one, for orientations that swap the sides."""
    width, height = facts.stored
    x1, y1, x2, y2 = annotation.box
    # Transposing exchanges x and y; 6 to 8 then mirror one axis or both.
    left, top, right, bottom = y1, x1, y2, x2
    if facts.orientation in (6, 7):
        left, right = height - right, height - left
    if facts.orientation in (7, 8):
        top, bottom = width - bottom, width - top
    return annotation._replace(box=(left, top, right, bottom))


def _store_upright(source: str, target: Path) -> None:
    with Image.open(source) as image:
        kind = image.format
        upright = ImageOps.exif_transpose(image)
    options = {"quality": _JPEG_QUALITY} if kind in ("JPEG", "WEBP") else {}
    profile = upright.info.get("icc_profile")
    upright.save(target, format=kind, icc_profile=profile, **options)
