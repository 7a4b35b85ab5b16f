"""What every reader is, and what they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from vfnet_d2.data.formats.classes import class_list_findings
from vfnet_d2.data.formats.files import leaves_root, shorten
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.paths import Resolver
from vfnet_d2.data.formats.records import Reading
from vfnet_d2.data.formats.values import Notes, as_name
from vfnet_d2.utils.errors import UserError

# Usual names of splits, the training set first.
SPLIT_NAMES = ("train", "training", "trainval", "val", "valid", "validation", "test")


class FormatError(UserError):
    """A dataset cannot be opened at all; the message says what was expected and what to do."""


class Reader(ABC):
    """Reads one split of a dataset of one format; subclasses are formats.

    Reading is lazy and changes nothing. What is wrong in the files is yielded as findings, never
    raised.

    Args:
        path: one of the values of :meth:`splits`.
        split: its key there.
        root: folder below which all images lie; None takes what the format expects.
        classes: class names in the wanted order; None takes those of the dataset.
    """

    name: ClassVar[str]
    # What the format looks like, for the message when none fits.
    looks_like: ClassVar[str]

    def __init__(
        self,
        path: Path,
        *,
        split: str = "",
        root: Path | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.path = path
        self.split = split
        self.given_root = root
        self.given_classes = None if classes is None else tuple(classes)
        self.notes = Notes()  # of the reading under way
        self._owners: dict[
            Path, tuple[str, bool]
        ] = {}  # of images: the name, and if it was guessed

    @classmethod
    @abstractmethod
    def splits(cls, path: Path) -> Mapping[str, Path]:
        """What to open for each split at a path, "" for the only one; {} if it does not fit."""

    @abstractmethod
    def own_classes(self) -> tuple[str, ...]:
        """The dataset's class names, in the order that ``classes.py`` tells."""

    @property
    @abstractmethod
    def root(self) -> Path:
        """Folder below which all images lie."""

    @abstractmethod
    def _read(self) -> Iterator[Reading]:
        """Yield images and findings; class findings come from :meth:`read`."""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The class names whose positions the annotations hold."""
        return self.own_classes() if self.given_classes is None else self.given_classes

    def folders_of_splits(self) -> list[Path]:
        """The opened folder, and those of the other splits if each split has its own."""
        folder = self.path if self.path.is_dir() else self.path.parent
        if not self.split or folder.name != self.split:
            return [folder]
        return [place for name in SPLIT_NAMES if (place := folder.parent / name).is_dir()]

    def read(self) -> Iterator[Reading]:
        """Yield every image, and what is wrong with the files, in the order of the files."""
        self.notes, self._owners = Notes(), {}
        yield from class_list_findings(self.classes, self.path)
        yield from self._read()
        yield from self.notes.findings()

    @property
    def trusted(self) -> tuple[Path, ...]:
        """Folders below which files may lie."""
        return (self.root,)

    @cached_property
    def resolver(self) -> Resolver:
        """Finds files below the trusted folders."""
        return Resolver(self.trusted)

    def locate(self, name: str, homes: Sequence[Path], file: Path, where: str) -> Path | Finding:
        """Find an image; note it if its name had to be read otherwise than it is written.

        Args:
            name: as the annotation file has it.
            homes: folders that it may be relative to.
            file: the annotation file.
            where: place in it, for messages.

        Returns:
            Where the image is, or should be; or a finding if it lies outside, or is taken for two.
        """
        path, how = self.resolver.find(name, homes)
        if path is None:
            return leaves_root(name, self.root, file, where)
        if how == "missing":
            return path
        guessed = how != "as named"
        first, first_guessed = self._owners.setdefault(path, (name, guessed))
        if first != name and (guessed or first_guessed):
            cause = f"{shorten(name)} and {shorten(first)} both seem to be {path}"
            return Finding("ambiguous-image", str(file), where, cause)
        if guessed:
            self.note_path(how, name, path, file, where)
        return path

    def note_path(self, how: str, name: str, path: Path, file: Path, where: str) -> None:
        """Note that a path was found otherwise than it is written."""
        code = "moved-path" if how == "end" else "other-spelling"
        self.notes.add(code, file, f"{shorten(name)} is read as {path}", where, kind=code)

    def class_index(self, name: str) -> int | None:
        """Position of a class name in :attr:`classes`, or None."""
        return self._index.get(as_name(name))

    def lost_objects(self, count: int, file: Path, where: str) -> Iterator[Finding]:
        """Yield a finding for each object of an image that cannot be used."""
        for number in range(1, count + 1):
            place = ", ".join(filter(None, (where, f"object {number}")))
            cause = "its image cannot be used, so it is left out"
            yield Finding("object-without-image", str(file), place, cause)

    def unknown_class(self, name: str, file: Path, where: str) -> Finding:
        """The finding for a class name that is not in :attr:`classes`."""
        known = ", ".join(self.classes[:8]) + (", ..." if len(self.classes) > 8 else "")
        cause = f"class {shorten(name)} is not one of: {known}"
        return Finding("unknown-class", str(file), where, cause)

    @cached_property
    def _index(self) -> dict[str | None, int]:
        return {as_name(name): index for index, name in reversed(list(enumerate(self.classes)))}
