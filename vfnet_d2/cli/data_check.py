"""``vfnet data check``: what is wrong with a dataset, and a corrected copy of it."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vfnet_d2.check.fix import Change, write_fixed
from vfnet_d2.check.run import Report, check_dataset
from vfnet_d2.check.summary import summarise, summary_text
from vfnet_d2.check.text import findings_json, findings_text, plural, verdict
from vfnet_d2.cli.dataset_options import add_dataset_options
from vfnet_d2.data.formats.opening import open_dataset, open_splits
from vfnet_d2.data.formats.reader import FormatError, Reader
from vfnet_d2.utils.files import write_text
from vfnet_d2.utils.requirements import require_detectron2

_DESCRIPTION = """\
Read every annotation and image once; say what is in the dataset, what is wrong with it, where and
what to do about it. Splits that PATH holds itself (such as train and val in data.yaml) are checked
together. The exit status is 1 if there are errors, 0 if there are only warnings."""

_EPILOG = """\
examples:
  vfnet data check my_data                          a folder; its format is found by looking
  vfnet data check train.json --val val.json        images that are in both are errors
  vfnet data check my_data --fix my_data_fixed      write a corrected copy
  vfnet data check my_data --pictures pictures      see the boxes on the images"""


# Errors that a copy cannot correct by itself: which split should keep an image, and are two classes
# of one name the same?
_LEFT_TO_THE_USER = ("image-in-two-splits", "duplicate-class", "different-classes")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``vfnet data check`` takes, and its description, to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    add_dataset_options(parser)
    parser.add_argument(
        "--val", metavar="PATH", help="the validation set, if it is not found below PATH"
    )
    parser.add_argument(
        "--fix", metavar="DIR", help="write a corrected copy in COCO format into this new folder"
    )
    parser.add_argument("--json", metavar="FILE", help="write the findings and counts as JSON")
    parser.add_argument(
        "--pictures", metavar="DIR", help="draw box sizes, class balance and a contact sheet"
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, help="threads that read images (default: one a core)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and write what was asked for; 1 if there are errors."""
    if arguments.fix is not None:
        _refuse_inside(Path(arguments.fix), Path(arguments.path))
    report = check_dataset(open_readers(arguments), workers=arguments.workers)
    for name, split in report.splits.items():
        print(summary_text(name, split), end="\n\n")
    if report.findings:
        print(findings_text(report.findings), end="\n\n")
    print(verdict(report.findings))
    if arguments.json:
        write_text(Path(arguments.json), json.dumps(_content(report), indent=1) + "\n")
    if arguments.pictures:
        # Imports what draws, and with it PyTorch.
        require_detectron2()
        from vfnet_d2.visualization.datasets import write_pictures

        paths = write_pictures(report.splits, Path(arguments.pictures))
        print(f"Wrote into {arguments.pictures}: {', '.join(path.name for path in paths)}")
    if arguments.fix:
        changes = write_fixed(report.splits, Path(arguments.fix))
        print(_fix_text(changes, arguments.fix, report))
        remaining = Counter(f.code for f in report.errors if f.code in _LEFT_TO_THE_USER)
        for code, count in remaining.items():
            print(f"Left to you, since it needs a decision: {code} ({count:,})")
    return 1 if report.errors else 0


def open_readers(arguments: argparse.Namespace) -> dict[str, Reader]:
    """Readers of all splits of the path and ``--val``, the one to train on first."""
    options = {"format_name": arguments.format_name, "root": arguments.root}
    if arguments.val is None:
        return open_splits(arguments.path, **options)
    return {
        "train": open_dataset(arguments.path, **options),
        "val": open_dataset(arguments.val, **options, split=_only_val(arguments.val, options)),
    }


def _only_val(path: str, options: dict[str, Any]) -> str | None:
    """The split "val" if a path holds several."""
    return "val" if len(open_splits(path, **options)) > 1 else None


def _refuse_inside(folder: Path, dataset: Path) -> None:
    """Raise FormatError if the copy would stand inside the dataset."""
    source = dataset if dataset.is_dir() else dataset.parent
    if folder.resolve().is_relative_to(source.resolve()) and dataset.is_dir():
        raise FormatError(f"--fix {folder} is inside the dataset {dataset}: choose another folder")


def _content(report: Report) -> dict[str, Any]:
    splits = {name or "dataset": summarise(split) for name, split in report.splits.items()}
    return {"splits": splits, **findings_json(report.findings)}


def _fix_text(changes: Sequence[Change], folder: str, report: Report) -> str:
    """What the copy has otherwise, in short; changes.txt has all of it."""
    records = [record for split in report.splits.values() for record in split.records]
    images = len(records) - sum(change.kind == "left out an image" for change in changes)
    objects = sum(len(record.annotations) for record in records)
    objects -= sum(change.kind == "left out a box" for change in changes)
    size = f" It has {plural(images, 'image')} and {plural(objects, 'object')}."
    if not changes:
        return f"Wrote {folder}: nothing needed correction.{size}"
    counts = Counter(change.kind for change in changes)
    lines = "".join(f"\n  {kind}: {count:,}" for kind, count in counts.items())
    head = f"Wrote the corrected copy {folder}; {folder}/changes.txt lists every change:"
    return f"{head}{lines}\n{size.strip()}"
