"""The doctor of datasets: all checks of all splits."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from vfnet_d2.check.across import Split, class_findings, copy_findings
from vfnet_d2.check.boxes import box_findings
from vfnet_d2.check.images import ImageFacts, image_findings, inspect_images
from vfnet_d2.check.text import findings_text, plural
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import Reader
from vfnet_d2.data.formats.records import Reading, findings_of, records_of
from vfnet_d2.utils.errors import UserError

logger = logging.getLogger(__name__)


class DatasetError(UserError):
    """A dataset has errors that training would fail on or learn from; the message lists them."""


class Report(NamedTuple):
    """What a check found.

    Attributes:
        splits: by name, "" for the only one.
        findings: in the order of the splits and files.
    """

    splits: Mapping[str, Split]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """The findings that are errors."""
        return [finding for finding in self.findings if finding.severity == "error"]


def check_dataset(
    readers: Mapping[str, Reader], *, decode: bool = True, workers: int | None = None
) -> Report:
    """Read every annotation and image of a dataset once and report what is wrong.

    Args:
        readers: of the splits by name, the one to train on first.
        decode: decode all pixels and compare the images' content; else read headers alone.
        workers: threads that read images; None takes one per available core, at most 16.
    """
    findings: list[Finding] = []
    read = {}
    for name, reader in readers.items():
        read[name] = list(reader.read())
        findings += findings_of(read[name])
    paths = [record.path for readings in read.values() for record in records_of(readings)]
    # An image that is listed twice is read once.
    distinct = list(dict.fromkeys(paths))
    inspected = inspect_images(distinct, decode=decode, workers=workers)
    facts = dict(zip(distinct, inspected, strict=True))
    splits = {name: _split(readers[name], readings, facts) for name, readings in read.items()}
    for split in splits.values():
        for record, fact in zip(split.records, split.facts, strict=True):
            findings += image_findings(record, fact)
            findings += box_findings(record)
    findings += class_findings(splits)
    findings += copy_findings(splits)
    # Splits of one data.yaml report what is wrong with it once each.
    return Report(splits, list(dict.fromkeys(findings)))


def _split(reader: Reader, readings: list[Reading], facts: Mapping[str, ImageFacts]) -> Split:
    records = list(records_of(readings))
    found = [facts[record.path] for record in records]
    return Split(reader, records, found, list(findings_of(readings)))


def quick_check(readers: Mapping[str, Reader], *, workers: int | None = None) -> Report:
    """Check a dataset before training, with images' headers alone.

    Warnings go to the log.

    Args:
        readers: of the splits by name, the one to train on first.
        workers: as above.

    Raises:
        DatasetError: there are errors; the message lists them by kind with their remedies.
    """
    report = check_dataset(readers, decode=False, workers=workers)
    paths = " ".join(dict.fromkeys(str(reader.path) for reader in readers.values()))
    if report.errors:
        count = plural(len(report.errors), "error")
        raise DatasetError(
            f"the dataset {paths} has {count}\n\n{findings_text(report.errors)}"
            "\n\n`vfnet data check` also reads the images' pixels, and --fix writes a corrected "
            "copy"
        )
    if report.findings:
        logger.warning("the dataset %s:\n%s", paths, findings_text(report.findings))
    return report
