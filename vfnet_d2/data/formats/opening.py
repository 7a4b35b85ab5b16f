"""Opening a dataset of any format: named, or found by looking at the path."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vfnet_d2.data.formats.coco import CocoReader
from vfnet_d2.data.formats.jsonl import JsonlReader
from vfnet_d2.data.formats.reader import SPLIT_NAMES, FormatError, Reader
from vfnet_d2.data.formats.voc import VocReader
from vfnet_d2.data.formats.yolo import YoloReader

# A new format is a Reader listed here.
FORMATS: Mapping[str, type[Reader]] = {
    reader.name: reader for reader in (CocoReader, VocReader, YoloReader, JsonlReader)
}


def open_splits(
    path: str | Path,
    *,
    format_name: str | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Reader]:
    """Return a reader for every split that a path holds; the training set, if any, is first.

    Args:
        path: a folder, or an annotation file.
        format_name: key of FORMATS; None looks at the path.
        root: folder below which all images lie; None takes what the format expects.
        classes: class names in the wanted order; None takes those of the dataset.

    Returns:
        Readers by the split's name, which is "" for a dataset of one split.

    Raises:
        FormatError: there is no such path or format, no format fits, or more than one does.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FormatError(f"{path} does not exist")
    if root is not None and not Path(root).expanduser().is_dir():
        raise FormatError(f"the folder of images {root} does not exist")
    if format_name is not None and format_name not in FORMATS:
        raise FormatError(f"no format {format_name!r}; there are {', '.join(FORMATS)}")
    wanted = FORMATS if format_name is None else {format_name: FORMATS[format_name]}
    found = {name: splits for name, reader in wanted.items() if (splits := _splits(reader, path))}
    if not found:
        expected = "\n".join(f"  {name}: {reader.looks_like}" for name, reader in wanted.items())
        raise FormatError(f"{path} does not look like a dataset. Expected\n{expected}")
    if len(found) > 1:
        raise FormatError(f"{path} looks like {' and '.join(found)}: say which it is with --format")
    ((name, splits),) = found.items()
    images = None if root is None else Path(root).expanduser()
    return {
        split: FORMATS[name](place, split=split, root=images, classes=classes)
        for split, place in sorted(splits.items(), key=lambda item: not _means(item[0], "train"))
    }


def open_dataset(
    path: str | Path,
    *,
    format_name: str | None = None,
    split: str | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Reader:
    """Return the reader of one split.

    Args:
        path: as above.
        format_name: as above.
        root: as above.
        classes: as above.
        split: such as "train" or "val", which also finds "valid" and "val2017"; None takes the
            only split, or the training set.

    Raises:
        FormatError: as above, or there is no such split.
    """
    readers = open_splits(path, format_name=format_name, root=root, classes=classes)
    if split in readers:
        return readers[split]
    fitting = [reader for name, reader in readers.items() if _means(name, split or "train")]
    if split is None and len(readers) == 1:
        fitting = list(readers.values())
    if len(fitting) != 1:
        names = ", ".join(name or "a single unnamed one" for name in readers)
        wanted = "which split to take" if split is None else f"a split {split!r}"
        raise FormatError(f"{path} does not say {wanted}; its splits are: {names}")
    return fitting[0]


def _splits(reader: type[Reader], path: Path) -> Mapping[str, Path]:
    """The splits at a path, or in its folders with the usual names of splits."""
    found = reader.splits(path)
    if found or path.is_file():
        return found
    folders = {name: reader.splits(path / name) for name in SPLIT_NAMES}
    return {name: own[""] for name, own in folders.items() if list(own) == [""]}


def _means(name: str, wanted: str) -> bool:
    """Whether a split's name is another spelling: "valid" of "val", "train2017" of "train"."""
    return name.lower().startswith("val" if wanted.startswith("val") else wanted)
