"""Tests of vfnet_d2.utils.errors."""

import pytest

from vfnet_d2.utils.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError("\n  first  \nsecond"), "first  "),
        (AssertionError(), "AssertionError"),
        (ValueError("\n"), "ValueError"),
    ],
)
def test_an_error_in_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
