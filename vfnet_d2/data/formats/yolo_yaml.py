"""YOLO's data.yaml: class names and where the images of each split are."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from vfnet_d2.data.formats.files import (
    UnreadableFileError,
    files_in,
    leaves_root,
    read_text,
    shorten,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.paths import Resolver
from vfnet_d2.data.formats.values import as_id, as_name, as_size

SPLIT_KEYS = ("train", "val", "valid", "test")


def yaml_file(path: Path) -> Path | None:
    """The YAML file at a path: itself, data.yaml in it, or the only one in it that has names."""
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml") else None
    files = files_in(path, "*.y*ml")
    preferred = [file for file in files if file.stem == "data"]
    named = [file for file in files if YoloYaml(file).has_names]
    found = preferred or named
    return found[0] if len(found) == 1 or preferred else None


class YoloYaml:
    """The content of a data.yaml.

    Args:
        path: the file.
        root: folder below which the images must lie; None takes the file's folder, or what
            ``path`` in the file says if that lies below the file's folder.
    """

    def __init__(self, path: Path, *, root: Path | None = None) -> None:
        self.path = path
        self._root = root

    @cached_property
    def findings(self) -> list[Finding]:
        """What is wrong with the file, but for the places of images."""
        content = self._content
        if isinstance(content, Finding):
            return [content]
        problems = [self._names_problem, self._count_problem, self._moved, self._shape_problem]
        return [problem for problem in problems if problem is not None]

    @property
    def has_names(self) -> bool:
        """Whether it looks like a data.yaml."""
        return isinstance(self._content, dict) and "names" in self._content

    def has_split(self, key: str) -> bool:
        """Whether it says where a split is."""
        return isinstance(self._content, dict) and bool(self._content.get(key))

    @property
    def task(self) -> str:
        """``task``: "segment", "obb" or "pose" tell what long lines are; "" if it is not there."""
        return str(self._content.get("task") or "") if isinstance(self._content, dict) else ""

    @cached_property
    def keypoints(self) -> tuple[int, int] | None:
        """``kpt_shape``: how many keypoints, of how many numbers; None if there is none."""
        shape = self._content.get("kpt_shape") if isinstance(self._content, dict) else None
        sides = [as_size(value) for value in shape] if isinstance(shape, list) else []
        if len(sides) != 2 or sides[0] is None or sides[1] not in (2, 3):
            return None
        return sides[0], sides[1]

    @property
    def _shape_problem(self) -> Finding | None:
        assert not isinstance(self._content, Finding)
        shape = self._content.get("kpt_shape")
        if shape is None or self.keypoints is not None:
            return None
        cause = f"kpt_shape must be the number of keypoints and 2 or 3, got {shorten(shape)}"
        return Finding("malformed-annotations", str(self.path), "kpt_shape", cause)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their indices; () if they cannot be used."""
        if isinstance(self._content, Finding) or self._names_problem is not None:
            return ()
        return tuple(as_name(name) or "" for _, name in sorted(self._entries))

    @cached_property
    def folder(self) -> Path:
        """Folder below which the images must lie, and that places are relative to."""
        base = self._root if self._root is not None else self.path.parent
        wanted = None if isinstance(self._content, Finding) else self._content.get("path")
        if isinstance(wanted, str):
            found = Resolver([base]).find(wanted, [self.path.parent], exists=os.path.isdir)
            if found.path is not None and found.how in ("as named", "spelling"):
                return found.path
        return base

    def places(self, key: str) -> Iterator[Path | Finding]:
        """Folders of images and text files that list images, of a split; or what is wrong."""
        if isinstance(self._content, Finding):
            return
        value = self._content.get(key)
        items = value if isinstance(value, list) else [value]
        for item in items:
            yield from self._place(item, key)

    def _place(self, item: Any, key: str) -> Iterator[Path | Finding]:
        if not isinstance(item, str) or not item.strip():
            cause = f"expected a folder of images or a text file, got {shorten(item)}"
            yield Finding("malformed-annotations", str(self.path), key, cause)
            return
        path, how = self._resolver.find(item, self._homes, exists=os.path.exists)
        if path is None:
            yield leaves_root(item, self.folder, self.path, key)
            return
        if how == "missing":
            yield Finding("no-images", str(self.path), key, f"{path} does not exist")
            return
        # Some exporters write ../train/images for a folder that stands beside the file.
        beside = item.strip().replace("\\", "/").lstrip("./")
        if how == "spelling" or (how == "end" and not path.as_posix().endswith(beside)):
            code = "moved-path" if how == "end" else "other-spelling"
            yield Finding(code, str(self.path), key, f"{shorten(item)} is read as {path}")
        yield path

    @property
    def trusted(self) -> tuple[Path, ...]:
        """Folders below which images must lie."""
        return (self.folder,) if self._root is not None else (self.folder, self.path.parent)

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver(self.trusted)

    @property
    def _homes(self) -> tuple[Path, ...]:
        return (self.folder, self.path.parent)

    @cached_property
    def _content(self) -> dict[str, Any] | Finding:
        """The file, or why it cannot be used."""
        try:
            text = read_text(self.path)
            content = yaml.safe_load(text)
            if isinstance(content, dict) and "names" in content:
                # As written: YAML makes True of yes, 8 of 010 and 750 of 12:30.
                content["names"] = yaml.load(text, Loader=yaml.BaseLoader)["names"]
        except UnreadableFileError as error:
            return Finding("unreadable-annotations", str(self.path), "", str(error))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            cause = f"not YAML{where}: {getattr(error, 'problem', None) or error}"
            return Finding("unreadable-annotations", str(self.path), "", cause)
        if not isinstance(content, dict):
            cause = "expected keys such as train, val and names"
            return Finding("malformed-annotations", str(self.path), "", cause)
        return content

    @cached_property
    def _names_problem(self) -> Finding | None:
        assert not isinstance(self._content, Finding)
        names = self._content.get("names")
        if not isinstance(names, list | dict):
            cause = "names must be a list, or class indices with their names"
            return Finding("malformed-annotations", str(self.path), "names", cause)
        if {index for index, _ in self._entries} != set(range(len(names))):
            keys = shorten(list(names))
            cause = f"{len(names)} names must have the indices 0 to {len(names) - 1}, got {keys}"
            return Finding("malformed-annotations", str(self.path), "names", cause)
        for index, name in self._entries:
            if as_name(name) is None:
                cause = f"name {index} must be text, put in quotes if need be, got {shorten(name)}"
                return Finding("malformed-annotations", str(self.path), "names", cause)
        return None

    @property
    def _entries(self) -> list[tuple[Any, Any]]:
        """The entries of ``names``: index and name, as they are written."""
        assert not isinstance(self._content, Finding)
        names = self._content["names"]
        if isinstance(names, dict):
            return [(as_id(index), name) for index, name in names.items()]
        return list(enumerate(names))

    @property
    def _count_problem(self) -> Finding | None:
        assert not isinstance(self._content, Finding)
        count = self._content.get("nc")
        if count is None or not self.names or as_size(count) == len(self.names):
            return None
        cause = f"nc is {shorten(count)}, but there are {len(self.names)} names"
        return Finding("malformed-annotations", str(self.path), "nc", cause)

    @cached_property
    def _moved(self) -> Finding | None:
        assert not isinstance(self._content, Finding)
        wanted = self._content.get("path")
        if wanted is None or wanted == "":
            return None
        if isinstance(wanted, str):
            base = os.path.abspath(self._root if self._root is not None else self.path.parent)
            place = os.path.normpath(os.path.join(os.path.abspath(self.path.parent), wanted))
            if os.path.abspath(self.folder) == place:
                return None
            cause = (
                f"path is {shorten(wanted)}, no folder below {base}; images are looked for there"
            )
        else:
            cause = f"path must be a folder, got {shorten(wanted)}"
        return Finding("moved-dataset", str(self.path), "path", cause)
