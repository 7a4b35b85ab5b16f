"""One table for values as tools write them: numbers, flags, ids and names, in every format.

| wanted | read | refused (None) |
|---|---|---|
| number | numbers, and text: ``"1.5"``, ``" 2 "``, ``"1e3"`` | booleans, ``"0,5"``, ``"1_000"`` |
| flag | 0, 1, booleans, text of these; missing and empty mean no | other numbers and text |
| id | whole numbers, also ``7.0`` and ``"7"``; other text as it is | booleans, fractions |
| name | text without blanks around it, in Unicode's form NFC; numbers | booleans, no text |
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from vfnet_d2.data.formats.findings import Finding

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?nan|[-+]?inf(inity)?", re.I | re.A)
_WHOLE = re.compile(r"([-+]?\d{1,18})(\.0*)?", re.A)
_FLAGS = {"": False} | dict.fromkeys(("false", "no", "f", "n"), False)
_FLAGS |= dict.fromkeys(("true", "yes", "t", "y"), True)

Id = int | str


def as_number(value: object) -> float | None:
    """Return a number, or a text of one, as float; None for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value := value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond the range of floats
        return float("inf") if value > 0 else float("-inf")


def as_size(value: object) -> int | None:
    """Return a positive whole number, also as text such as "499" or "499px"; else None."""
    if isinstance(value, str):
        value = value.strip().lower().removesuffix("px")
    number = as_number(value)
    if number is None or not 0 < number < 1e9 or number != int(number):
        return None
    return int(number)


def as_flag(value: object) -> bool | None:
    """Return a flag; None where it is neither true nor false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and (text := value.strip().lower()) in _FLAGS:
        return _FLAGS[text]
    number = as_number(value)
    return bool(number) if number in (0, 1) else None


def as_id(value: object) -> Id | None:
    """Return an id: a whole number, or a text that is none; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value := value.strip())
        return int(whole[1]) if whole else value or None
    return value if isinstance(value, int) else None


def as_name(value: object) -> str | None:
    """Return the name of a class; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return unicodedata.normalize("NFC", str(value).strip()) or None


def points_of(polygons: Any) -> list[tuple[float, float]] | None:
    """Return the corners of all polygons [[x1, y1, x2, y2, x3, y3, ...], ...]; else None."""
    points: list[tuple[float, float]] = []
    for polygon in polygons if isinstance(polygons, list) else []:
        numbers = [as_number(v) for v in polygon] if isinstance(polygon, list) else []
        values = [number for number in numbers if number is not None]
        if len(values) < 6 or len(values) % 2 or len(values) < len(numbers):
            return None
        points += zip(values[0::2], values[1::2], strict=True)
    return points or None


class Notes:
    """What was read otherwise than it is written: equal cases become one finding with a count."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._first: dict[tuple[str, str, str], tuple[str, str]] = {}

    def add(self, code: str, file: object, what: str, where: str, *, kind: str = "") -> None:
        """Count a case.

        Args:
            code: key of CODES.
            file: the file to look at.
            what: was done.
            where: of this case.
            kind: the same for equal cases; "" takes ``what``.
        """
        key = (code, str(file), kind or what)
        self._counts[key] += 1
        self._first.setdefault(key, (what, where))

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each kind of case, which shows the first."""
        for key, (what, where) in self._first.items():
            count = self._counts[key]
            times = f" ({count:,} times, this is the first)" if count > 1 else ""
            yield Finding(key[0], key[1], where, f"{what}{times}")
