"""Tests of vfnet_d2.visualization.palette."""

import itertools
import math

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.reference import ROOT
from vfnet_d2.visualization.palette import (
    DETECTED,
    TRUTH,
    class_color,
    contrast,
    text_color,
)

CHANNEL = st.floats(0, 1)


def test_the_first_ten_classes_have_the_colours_of_tab10() -> None:
    expected = [tuple(color) for color in matplotlib.colormaps["tab10"].colors]
    assert [class_color(index) for index in range(10)] == expected


def test_no_two_of_coco_s_80_classes_have_one_colour() -> None:
    eight_bits = {tuple(round(255 * c) for c in class_color(index)) for index in range(80)}
    assert len(eight_bits) == 80


def test_the_first_40_differ_as_the_eye_sees() -> None:
    pairs = itertools.combinations(map(class_color, range(40)), 2)
    # A tenth of a channel's whole range is visible side by side; random colours come to 0.01.
    assert min(math.dist(one, other) for one, other in pairs) > 0.1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # (L1 + 0.05) / (L2 + 0.05) of WCAG 2; white has luminance 1, black 0, red 0.2126.
        ((1, 1, 1), (0, 0, 0), 21.0),
        ((0, 0, 0), (0, 0, 0), 1.0),
        ((1, 0, 0), (1, 1, 1), 1.05 / (0.2126 + 0.05)),
        # sRGB 0.5 is ((0.5 + 0.055) / 1.055)^2.4 = 0.21404 of light.
        ((0.5, 0.5, 0.5), (0, 0, 0), 0.26404 / 0.05),
    ],
)
def test_contrast(one: tuple, other: tuple, expected: float) -> None:
    assert contrast(one, other) == pytest.approx(expected, rel=1e-4)
    assert contrast(other, one) == contrast(one, other)


@given(background=st.tuples(CHANNEL, CHANNEL, CHANNEL))
def test_text_is_readable_on_any_colour(background: tuple[float, float, float]) -> None:
    # The contrasts with black and with white have the product 21 (they are (L + 0.05) / 0.05 and
    # 1.05 / (L + 0.05)), so the larger one is at least its root, 4.58.
    assert contrast(text_color(background), background) >= math.sqrt(21) * (1 - 1e-12)


def test_the_page_of_a_report_explains_its_own_colours() -> None:
    css = (ROOT / "vfnet_d2" / "evaluation" / "report" / "page.css").read_text(encoding="utf-8")
    assert f".swatch.detected {{ border-color: {DETECTED}; }}" in css
    assert f".swatch.truth {{ border-color: {TRUTH}; }}" in css
