"""Tests of vfnet_d2.data.formats.files."""

from pathlib import Path

import pytest

from vfnet_d2.data.formats.files import as_number, as_size, below, shorten


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "root/a.png"),
        ("x/../a.png", "root/a.png"),
        ("../root/a.png", "root/a.png"),
        ("../a.png", None),
        ("x/../../a.png", None),
        ("../rootless/a.png", None),
        ("/etc/passwd", None),
        ("a\0.png", None),
    ],
)
def test_paths_stay_below_the_root(name: str, expected: str | None) -> None:
    assert below(Path("root"), name) == (None if expected is None else Path(expected))


def test_an_absolute_path_below_the_root(tmp_path: Path) -> None:
    assert below(tmp_path, str(tmp_path / "a.png")) == tmp_path / "a.png"
    assert below(Path("/"), "etc/x.png") == Path("/etc/x.png")


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), (0.5, 0.5), (10**400, float("inf"))])
def test_numbers(value: object, number: float) -> None:
    assert as_number(value) == number


@pytest.mark.parametrize("value", [True, "3", None, [3], {}])
def test_what_is_no_number(value: object) -> None:
    assert as_number(value) is None


@pytest.mark.parametrize(
    "value", [0, -3, 2.5, "0x10", "12 cm", "-5", "", None, True, float("nan"), 10**12, "²"]
)
def test_what_is_no_size(value: object) -> None:
    assert as_size(value) is None


def test_messages_stay_short() -> None:
    nested: list[object] = ["x"]
    for _ in range(40):
        nested = [nested] * 10  # 10**40 strings if it were written out
    assert len(shorten(nested)) < 200
    assert len(shorten("x" * 10_000)) < 200
