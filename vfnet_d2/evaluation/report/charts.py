"""Charts as inline SVG; the page's style sheet gives them their colours, for light and dark."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LEFT, _BOTTOM, _TOP, _RIGHT = 44, 40, 10, 14


class Line(NamedTuple):
    """A line of a chart: x and y in [0, 1], and the number of its colour from 1."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 1


class Frame:
    """The axes of a chart, both from 0 to 1.

    Args:
        width: of the chart, in SVG units.
        height: likewise.
        x_label: what x is.
        y_label: what y is.
    """

    def __init__(self, *, width: int, height: int, x_label: str, y_label: str) -> None:
        self.width, self.height = width, height
        self.x_label, self.y_label = x_label, y_label

    def x(self, value: float) -> float:
        """SVG x of a value."""
        return round(_LEFT + float(value) * (self.width - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        """SVG y of a value."""
        return round(self.height - _BOTTOM - float(value) * (self.height - _BOTTOM - _TOP), 1)

    def draw(self, content: str, description: str) -> Markup:
        """The chart with axes below its content."""
        parts = []
        for tick in _TICKS:
            x, y = self.x(tick), self.y(tick)
            parts.append(f'<path class="grid" d="M{x} {self.y(0)}V{self.y(1)}"/>')
            parts.append(f'<path class="grid" d="M{self.x(0)} {y}H{self.x(1)}"/>')
            parts.append(f'<text x="{x}" y="{self.y(0) + 15}" text-anchor="middle">{tick:g}</text>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
        middle_x, middle_y = self.x(0.5), self.y(0.5)
        parts.append(
            f'<text class="axis" x="{middle_x}" y="{self.height - 6}" text-anchor="middle">'
            f"{escape(self.x_label)}</text>"
            f'<text class="axis" x="12" y="{middle_y}" text-anchor="middle" '
            f'transform="rotate(-90 12 {middle_y})">{escape(self.y_label)}</text>'
        )
        return Markup(
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(description)}">{"".join(parts)}{content}</svg>'
        )


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    marker: tuple[float, str] | None = None,
    width: int = 520,
    height: int = 320,
) -> Markup:
    """A chart of lines.

    Args:
        lines: at most eight colours.
        x_label: what x is.
        y_label: what y is.
        marker: an x that is marked by an upright line, and what it says.
        width: in SVG units.
        height: likewise.
    """
    frame = Frame(width=width, height=height, x_label=x_label, y_label=y_label)
    content = "".join(
        f'<polyline class="line c{line.colour}" points="{_points(frame, line)}"/>' for line in lines
    )
    if marker is not None:
        x = frame.x(marker[0])
        side, shift = ("end", -5) if marker[0] > 0.5 else ("start", 5)
        content += (
            f'<path class="marker" d="M{x} {frame.y(0)}V{frame.y(1)}"/>'
            f'<text class="axis" x="{x + shift}" y="{frame.y(0) - 8}" text-anchor="{side}">'
            f"{escape(marker[1])}</text>"
        )
    names = ", ".join(line.name for line in lines)
    return frame.draw(content, f"{y_label} over {x_label}: {names}")


def small_chart(line: Line) -> Markup:
    """A line without ticks and labels, for many beside each other."""
    width, height = 150, 90
    points = " ".join(
        f"{round(2 + x * (width - 4), 1)},{round(height - 2 - y * (height - 4), 1)}"
        for x, y in zip(line.x, line.y, strict=True)
    )
    return Markup(
        f'<svg class="chart small" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(line.name)}">'
        f'<path class="grid" d="M2 2H{width - 2}V{height - 2}H2Z M2 {height // 2}H{width - 2} '
        f'M{width // 2} 2V{height - 2}"/>'
        f'<polyline class="line c{line.colour}" points="{points}"/></svg>'
    )


def reliability_chart(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Mean IoU over predicted score in bins; where a bar ends on the dashes, score = IoU."""
    frame = Frame(width=520, height=320, x_label="predicted score", y_label="mean IoU")
    most = max((entry["count"] for entry in bins), default=0) or 1
    content = ""
    for entry in bins:
        left, right = frame.x(entry["low"]) + 1, frame.x(entry["high"]) - 1
        top = frame.y(entry["mean_iou"] or 0)
        # Bins of few detections are faint: they say little.
        strength = 0.25 + 0.75 * (entry["count"] / most) ** 0.5
        title = f"<title>{entry['count']} detections</title>"
        content += (
            f'<rect class="bar" x="{left:.1f}" y="{top}" width="{right - left:.1f}" '
            f'height="{frame.y(0) - top:.1f}" opacity="{strength:.2f}">{title}</rect>'
        )
    content += f'<path class="marker" d="M{frame.x(0)} {frame.y(0)}L{frame.x(1)} {frame.y(1)}"/>'
    return frame.draw(content, "mean IoU over predicted score")


def _points(frame: Frame, line: Line) -> str:
    return " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in zip(line.x, line.y, strict=True))
