"""The one way from a name in an annotation file to a file of the dataset, for every format.

A name is tried as it is written, then with Windows separators, as a URL, with ``%20`` decoded,
with other case or another form of Unicode, and at last by ever shorter ends, for datasets that
were moved. Whatever is found lies below a folder that the reader trusts.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from vfnet_d2.data.formats.files import fold

How = Literal["as named", "spelling", "end", "missing", "outside"]

_DRIVE = re.compile(r"[A-Za-z]:/|//[^/]+/[^/]+/")  # C:/ and //server/share/


class Found(NamedTuple):
    """Where a name leads.

    Attributes:
        path: of the file, or where it should be; None where that is no trusted folder.
        how: it was found.
    """

    path: Path | None
    how: How


class Written(NamedTuple):
    """A way to read a name.

    Attributes:
        text: the path, with ``/`` between folders.
        foreign: it is absolute somewhere else: a URL, or it has a drive or server.
        noted: whether a reader says so.
    """

    text: str
    foreign: bool = False
    noted: bool = False


class Resolver:
    """Finds files by their names; looks into each folder once.

    Args:
        trusted: folders below which files may lie. Links below them are followed: many datasets
            consist of links.
    """

    def __init__(self, trusted: Sequence[Path]) -> None:
        self._trusted = [(os.path.abspath(folder), folder) for folder in trusted]
        self._real = [os.path.realpath(folder) for folder in trusted]
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(
        self,
        name: str,
        homes: Sequence[Path],
        *,
        exists: Callable[[str], bool] = os.path.isfile,
    ) -> Found:
        """Find what a name means.

        Args:
            name: as the annotation file has it.
            homes: folders that it may be relative to, the likeliest first; the working directory
                is the last.
            exists: whether a path is what is looked for.
        """
        homes = [*homes, Path()]
        ways = list(readings(name))
        for way in ways:
            path = self.exact(way.text, homes, exists)
            if path is not None:
                moved = way.foreign and "://" not in name
                return Found(path, "end" if moved else "spelling" if way.noted else "as named")
        for way in ways:
            path = self.spelled(way.text, homes, exists)
            if path is not None:
                return Found(path, "spelling")
        for way in ways:
            path = self._by_end(way, homes, exists)
            if path is not None:
                return Found(path, "as named" if "://" in name else "end")
        places = (self._inside(home, way.text) for way in ways for home in homes[:-1])
        missing = next((place for place in places if place is not None), None)
        return Found(missing, "outside" if missing is None else "missing")

    def exact(
        self, text: str, homes: Sequence[Path], exists: Callable[[str], bool] = os.path.isfile
    ) -> Path | None:
        """The first file of this very name."""
        for home in homes:
            path = self._inside(home, text)
            if path is not None and exists(str(path)):
                return path
        return None

    def spelled(
        self, text: str, homes: Sequence[Path], exists: Callable[[str], bool] = os.path.isfile
    ) -> Path | None:
        """The first file whose name differs in case or Unicode's form, if it is the only one."""
        for home in homes:
            path = self._walk(self._inside(home, text))
            if path is not None and exists(str(path)):
                return path
        return None

    def _by_end(
        self, way: Written, homes: Sequence[Path], exists: Callable[[str], bool]
    ) -> Path | None:
        """The longest end of a path that leads to a file.

        A file's bare name says little: the end of a relative path keeps a folder, but for the
        last folder of a home (``images/a.jpg`` below ``images``).
        """
        parts = [part for part in way.text.split("/") if part not in ("", ".", "..")]
        absolute = way.foreign or way.text.startswith("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            for home in homes[:-1]:
                bare = start == len(parts) - 1 and not absolute
                last = fold(Path(os.path.abspath(home)).name)
                if bare and (not start or last != fold(parts[start - 1])):
                    continue
                path = self.exact(end, [home], exists) or self.spelled(end, [home], exists)
                if path is not None:
                    return path
        return None

    def _inside(self, home: Path, text: str) -> Path | None:
        """The path joined to a home; None if it is not below a trusted folder."""
        if "\0" in text:
            return None
        path = os.path.abspath(os.path.join(home, text))
        for base, folder in self._trusted:
            if _is_below(path, base):
                return folder / os.path.relpath(path, base)
        # An absolute path may go another way to the same folder, past links.
        real = os.path.realpath(path) if os.path.isabs(text) else ""
        return Path(path) if any(_is_below(real, base) for base in self._real) else None

    def _walk(self, path: Path | None) -> Path | None:
        """An existing path that differs in spelling alone, if there is exactly one."""
        if path is None:
            return None
        place = os.path.abspath(path)
        base, folder = next(
            ((b, f) for b, f in self._trusted if _is_below(place, b)), (os.sep, Path(os.sep))
        )
        for part in Path(os.path.relpath(place, base)).parts:
            if not os.path.lexists(folder / part):
                near = self._listing(folder).get(fold(part), [])
                if len(near) != 1:
                    return None
                (part,) = near
            folder = folder / part
        return folder

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder, by what they have in common."""
        key = str(folder)
        if key not in self._listings:
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            found: dict[str, list[str]] = {}
            for name in names:
                found.setdefault(fold(name), []).append(name)
            self._listings[key] = found
        return self._listings[key]


def readings(name: str) -> Iterator[Written]:
    """Yield the ways to read a name, each once, the likeliest first."""
    seen = set()
    for way in _all_readings(name):
        if way.text and way.text not in seen:
            seen.add(way.text)
            yield way


def _all_readings(name: str) -> Iterator[Written]:
    if "://" in name:
        yield Written(local_name(name), foreign=True)
        after = name.strip().replace("\\", "/").split("://", maxsplit=1)[1].partition("/")[2]
        yield Written(unquote(after), foreign=True)  # with what follows a # or ?
        yield Written(after, foreign=True)
        return
    yield Written(name)
    slashed = name.strip().replace("\\", "/")
    drive = _DRIVE.match(slashed)
    text = slashed[drive.end() :] if drive else slashed
    yield Written(text, foreign=drive is not None)
    yield Written(unquote(text), foreign=drive is not None, noted=True)


def local_name(url: str) -> str:
    """The path that a URL names, without scheme, host, datastore and query.

    ``azureml://subscriptions/.../datastores/blob/paths/fridge/1.jpg`` and
    ``AmlDatastore://blob/fridge/1.jpg`` both give ``fridge/1.jpg``.
    """
    url = url.strip().replace("\\", "/")
    if "://" not in url:
        return url
    if url.lower().startswith("azureml://") and "/paths/" in url:
        return unquote(url.split("/paths/", maxsplit=1)[1]).lstrip("/")
    try:
        return unquote(urlsplit(url).path).lstrip("/")
    except ValueError:  # such as a broken IPv6 host
        return unquote(url.split("://", maxsplit=1)[1]).lstrip("/")


def _is_below(path: str, base: str) -> bool:
    return path == base or path.startswith(base.rstrip(os.sep) + os.sep)
