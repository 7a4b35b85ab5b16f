"""The colours of all pictures: one for each class, by its number, and those with a meaning."""

import colorsys

import matplotlib

Color = tuple[float, float, float]  # red, green, blue in 0..1

DETECTED = "#ff3b30"
TRUTH = "#00e05a"
BARS = "#3b6ea5"
DOUBTFUL = "#b00020"

_FIRST = 10
# Steps around the circle of hues by the golden ratio always fall into the widest gaps.
_HUE_STEP = 0.6180339887498949
# Saturation and value.
_SHADES = ((0.90, 0.80), (0.55, 0.90), (0.95, 0.50))


def class_color(index: int) -> Color:
    """Return the colour of a class, the same in every picture.

    It depends on the class's number alone, not on how many there are: the first ten have those of
    matplotlib's ``tab10``, which are told apart most easily.

    Args:
        index: of the class, from 0.
    """
    if index < _FIRST:
        red, green, blue = matplotlib.colormaps["tab10"](index)[:3]
        return float(red), float(green), float(blue)
    turn, shade = divmod(index - _FIRST, len(_SHADES))
    saturation, value = _SHADES[shade]
    # Each shade starts elsewhere on the circle, so that no two have the same hues.
    hue = turn * _HUE_STEP + shade / len(_SHADES) ** 2
    return colorsys.hsv_to_rgb(hue % 1, saturation, value)


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of two colours by WCAG 2, from 1 (the same) to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def text_color(background: Color) -> Color:
    """Return black or white, whichever is easier to read; its contrast is at least 4.5."""
    black, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return max((black, white), key=lambda color: contrast(color, background))


def _luminance(color: Color) -> float:
    """Relative luminance of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
