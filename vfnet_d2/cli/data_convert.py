"""``vfnet data convert``: a dataset in another format."""

import argparse
import os
import sys
from pathlib import Path

from vfnet_d2.check.images import image_findings, inspect_images
from vfnet_d2.check.text import findings_text, plural
from vfnet_d2.cli.dataset_options import add_dataset_options
from vfnet_d2.data.formats.opening import open_splits
from vfnet_d2.data.formats.reader import FormatError, Reader
from vfnet_d2.data.formats.records import ImageRecord, findings_of, records_of
from vfnet_d2.data.formats.write import WRITERS, write_coco_json, write_dataset

_DESCRIPTION = """\
Write a dataset in another format, with copies of its images, into a new folder; each split that
PATH holds becomes a folder of its own. With OUT ending in .json only a COCO JSON is written, whose
file names are relative to the old folder of images. Training needs no conversion. YOLO files have
no crowds: those objects are left out there."""

_EPILOG = """\
examples:
  vfnet data convert my_yolo my_coco                 COCO JSON and copies of the images
  vfnet data convert my_voc my_voc.json              the COCO JSON alone
  vfnet data convert my_coco my_yolo --to yolo"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``vfnet data convert`` takes, and its description, to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    add_dataset_options(parser)
    parser.add_argument("output", metavar="OUT", help="new folder, or a .json file")
    parser.add_argument(
        "--to", choices=sorted(WRITERS), default="coco", help="format to write (default: coco)"
    )
    parser.add_argument("--split", help="convert this split alone, such as train or val")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert every split, or refuse a dataset with errors and return 1."""
    readers = open_splits(arguments.path, format_name=arguments.format_name, root=arguments.root)
    if arguments.split is not None:
        if arguments.split not in readers:
            splits = ", ".join(name or "a single unnamed one" for name in readers)
            raise FormatError(f"no split {arguments.split!r}; there are: {splits}")
        readers = {arguments.split: readers[arguments.split]}
    output = Path(arguments.output)
    json_only = output.suffix == ".json"
    if json_only and (arguments.to != "coco" or len(readers) > 1):
        problem = (
            "has several splits: name one with --split" if len(readers) > 1 else "is asked for"
        )
        what = arguments.path if len(readers) > 1 else f"--to {arguments.to}"
        raise FormatError(f"OUT is the COCO JSON {output}, but {what} {problem}")
    read = {
        name: (reader, _records(reader, copied=not json_only)) for name, reader in readers.items()
    }
    if any(records is None for _, records in read.values()):
        print(f"\nNothing was written. `vfnet data check {arguments.path} --fix OUT` writes a "
              "corrected copy.", file=sys.stderr)  # fmt: skip
        return 1
    for name, (reader, records) in read.items():
        assert records is not None
        if json_only:
            # Training finds the images by these names, so they are kept as they are.
            names = [os.path.relpath(record.path, reader.root) for record in records]
            write_coco_json(output, records, names, reader.classes)
            target, note = output, f"; file names are relative to {reader.root}"
        else:
            target, note = output / name if len(read) > 1 else output, ""
            write_dataset(target, arguments.to, records, reader.classes)
        objects = sum(len(record.annotations) for record in records)
        counts = f"{plural(len(records), 'image')}, {plural(objects, 'object')}"
        print(f"Wrote {target}: {counts}, {plural(len(reader.classes), 'class')}{note}")
    return 0


def _records(reader: Reader, *, copied: bool) -> list[ImageRecord] | None:
    """The images of a split; None after printing errors, if there are any.

    Args:
        reader: of the split.
        copied: the images go into the new dataset, so their headers are looked at, too.

    Raises:
        FormatError: the size of an image is unknown.
    """
    readings = list(reader.read())
    findings, records = list(findings_of(readings)), list(records_of(readings))
    for record in records:
        if not record.width or not record.height:
            raise FormatError(f"the size of {record.path} is unknown: no image can be read there")
    if copied:
        # Boxes as parts of a size that the image does not have would be elsewhere.
        facts = inspect_images([record.path for record in records], decode=False)
        for record, fact in zip(records, facts, strict=True):
            findings += image_findings(record, fact)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        print(findings_text(errors), file=sys.stderr)
        return None
    return records
