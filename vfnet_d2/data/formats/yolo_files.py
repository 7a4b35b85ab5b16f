"""Which images a YOLO dataset has, and where the labels of each stand."""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from vfnet_d2.data.formats.files import (
    UnreadableFileError,
    files_in,
    fold,
    images_in,
    left_out_findings,
    read_text,
    same_name,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import Reader
from vfnet_d2.data.formats.yolo_lines import label_file
from vfnet_d2.data.formats.yolo_yaml import SPLIT_KEYS, YoloYaml, yaml_file


class YoloFiles(Reader):
    """The part of the YOLO reader that finds files."""

    @classmethod
    def splits(cls, path: Path) -> Mapping[str, Path]:
        """The data.yaml or folder, once for each split in it."""
        config = yaml_file(path)
        if config is not None:
            named = [key for key in SPLIT_KEYS if YoloYaml(config).has_split(key)]
            return dict.fromkeys(named, config) if len(named) > 1 else {"": config}
        if not (path / "images").is_dir() or not files_in(path / "labels", "**/*.txt"):
            return {}
        named = [key for key in SPLIT_KEYS if (path / "images" / key).is_dir()]
        return dict.fromkeys(named, path) if len(named) > 1 else {"": path}

    @cached_property
    def root(self) -> Path:
        """The folder of data.yaml, or the one that ``path`` in it names."""
        if self.given_root is not None:
            return self.given_root
        return self.path if self._config is None else self._config.folder

    @property
    def trusted(self) -> tuple[Path, ...]:
        """Folders below which files may lie."""
        return (self.root,) if self._config is None else self._config.trusted

    @cached_property
    def _config(self) -> YoloYaml | None:
        if self.path.is_dir():
            return None
        return YoloYaml(self.path, root=self.given_root)

    def _images(self) -> Iterator[Path | Finding]:
        """Yield the images of the split, and what is wrong with their places."""
        if self._config is None:
            folder = self.path / "images"
            folder = folder / self.split if (folder / self.split).is_dir() else folder
            yield from self._folder(folder)
            return
        split = self.split
        # A data.yaml in a folder named after its split has another key, mostly "train".
        if not self._config.has_split(split):
            split = next(filter(self._config.has_split, SPLIT_KEYS), "train")
        for place in self._config.places(split):
            if isinstance(place, Finding):
                yield place
            elif os.path.isdir(place):
                yield from self._folder(place)
            else:
                yield from self._listed(place)

    def _folder(self, folder: Path) -> Iterator[Path | Finding]:
        """The images of a folder, and what else is there."""
        yield from images_in(folder)
        yield from left_out_findings(folder)
        yield from self._labels_alone(folder)

    def _labels_alone(self, folder: Path) -> Iterator[Finding]:
        """Label files of a folder whose image does not exist."""
        labels = self.label_of(folder / "x").parent
        if labels == folder:
            return
        pictured = {_key(path.relative_to(folder)) for path in images_in(folder)}
        for file in files_in(labels, "**/*.txt"):
            if file.name in ("classes.txt", "labels.txt"):
                continue
            inside = file.relative_to(labels)
            if _key(inside) in pictured:
                continue
            stem = folder / inside.with_suffix("")
            others = stem.parent.iterdir() if stem.parent.is_dir() else ()
            near = sorted(p.name for p in others if same_name(p.stem, stem.name))
            hint = f", but {near[0]}, which is no kind that is read" if near else ""
            cause = f"there is no image {stem} with a suffix such as .jpg or .png{hint}"
            yield Finding("missing-image", str(file), "", cause)

    def _listed(self, listing: Path) -> Iterator[Path | Finding]:
        """The images that a text file names, one a line, relative to it or to the dataset."""
        try:
            lines = read_text(listing).splitlines()
        except UnreadableFileError as error:
            yield Finding("unreadable-annotations", str(listing), "", str(error))
            return
        beside = self.path if self.path.is_dir() else self.path.parent
        homes = (listing.parent, self.root, beside)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self.locate(line.strip(), homes, listing, f"line {number}")

    def label_of(self, image: Path) -> Path:
        """The label file of an image, or where it should be.

        The last ``images`` below the dataset's folder counts, so that a dataset reads alike by
        its relative and its absolute path, wherever it stands.
        """
        whole = Path(os.path.abspath(image))
        places = []
        for base in self.trusted:
            base = Path(os.path.abspath(base))
            if whole.is_relative_to(base):
                places.append(label_file(whole, below=base))
        places += [image.with_suffix(".txt"), label_file(whole)]
        for place in places:
            found = place if place.is_file() else self.resolver.spelled(str(place), [Path()])
            if found is not None:
                return self._as_given(found)
        return self._as_given(places[0])

    def _as_given(self, path: Path) -> Path:
        """The path in the form that the dataset's folder was given in."""
        return self.resolver.exact(str(path), [Path()], lambda _: True) or path


def _key(path: Path) -> str:
    """What an image and its labels have in common."""
    return fold(path.with_suffix("").as_posix())
