"""What can be wrong with a dataset as a whole: classes, copies of images, splits that overlap."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vfnet_d2.check.images import ImageFacts
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import Reader
from vfnet_d2.data.formats.records import ImageRecord


class Split(NamedTuple):
    """A split that has been read.

    Attributes:
        reader: of its format.
        records: its images.
        facts: what reading each image file showed.
        unread: what the reader found wrong with the annotation files.
    """

    reader: Reader
    records: Sequence[ImageRecord]
    facts: Sequence[ImageFacts]
    unread: Sequence[Finding]

    @property
    def file(self) -> str:
        """The annotation file or folder, for messages."""
        return str(self.reader.path)

    def objects_of_classes(self) -> Counter[int]:
        """How many objects each class has, crowds left out."""
        return Counter(a.class_index for r in self.records for a in r.annotations if not a.iscrowd)


def class_findings(splits: Mapping[str, Split]) -> Iterator[Finding]:
    """Yield what is wrong with classes; the first split is the one to train on."""
    (first_name, first), *others = splits.items()
    counts = first.objects_of_classes()
    if not first.records:
        yield Finding("no-images", first.file, first_name, "there is no image that can be used")
    elif not counts:
        yield Finding("no-objects", first.file, first_name, f"{len(first.records)} images")
    for index, name in enumerate(first.reader.classes):
        if counts and not counts[index]:
            yield Finding("empty-class", first.file, first_name, f"class {name!r} has no object")
    for split_name, split in others:
        if not split.records:
            yield Finding("no-images", split.file, split_name, "there is no image that can be used")
            continue
        if split.reader.classes != first.reader.classes:
            yield _different_classes(split_name, split, first)
            continue
        there = split.objects_of_classes()
        for index, name in enumerate(first.reader.classes):
            if counts[index] and not there[index]:
                cause = f"class {name!r} has {counts[index]} objects in training and none here"
                yield Finding("class-only-in-train", split.file, split_name, cause)


def copy_findings(splits: Mapping[str, Split]) -> Iterator[Finding]:
    """Yield images of which there are copies, by path or content, in a split or in two."""
    seen_paths: dict[str, tuple[str, str]] = {}
    seen_digests: dict[str, tuple[str, str]] = {}
    for split_name, split in splits.items():
        for record, facts in zip(split.records, split.facts, strict=True):
            path = str(Path(record.path))
            first = seen_paths.get(path) or seen_digests.get(facts.digest)
            if facts.stored == (0, 0):
                continue  # empty and missing files have other findings
            if first is not None:
                first_split, first_path = first
                same = first_path == path
                two = first_split != split_name
                cause = "it is listed again" if same else f"it has the content of {first_path}"
                if two:
                    splits_named = (
                        f"in {first_split or 'training'} and {split_name or 'validation'}"
                    )
                    cause = f"it is {splits_named}" + ("" if same else f", there as {first_path}")
                code = "image-in-two-splits" if two else "duplicate-image"
                yield Finding(code, path, record.where if same else "", cause)
            seen_paths.setdefault(path, (split_name, path))
            if facts.digest:
                seen_digests.setdefault(facts.digest, (split_name, path))


def _different_classes(name: str, split: Split, first: Split) -> Finding:
    ours, theirs = split.reader.classes, first.reader.classes
    missing = [c for c in theirs if c not in ours]
    extra = [c for c in ours if c not in theirs]
    parts = []
    if missing:
        parts.append(f"lacks {', '.join(map(repr, missing[:5]))}")
    if extra:
        parts.append(f"has {', '.join(map(repr, extra[:5]))} besides")
    if not parts:
        parts.append(f"has another order: {', '.join(ours[:5])} instead of {', '.join(theirs[:5])}")
    return Finding("different-classes", split.file, name, f"it {' and '.join(parts)}")
