"""Tests of vfnet_d2.data.formats.files."""

from pathlib import Path

import pytest

from vfnet_d2.data.formats.files import below, shorten


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


def test_messages_stay_short() -> None:
    nested: list[object] = ["x"]
    for _ in range(40):
        nested = [nested] * 10  # 10**40 strings if it were written out
    assert len(shorten(nested)) < 200
    assert len(shorten("x" * 10_000)) < 200
