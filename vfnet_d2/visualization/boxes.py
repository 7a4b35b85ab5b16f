"""The one way to draw boxes with labels, by Detectron2's Visualizer."""

from collections.abc import Sequence

import matplotlib.colors
import numpy as np
from detectron2.utils.visualizer import Visualizer

from vfnet_d2.visualization.palette import Color, text_color

_SMALLEST_FONT, _LARGEST_FONT = 8.0, 14.0  # points, of the finished picture
_SIDES_PER_POINT = 70  # the font grows with the picture


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    colors: Sequence[Color | str],
    labels: Sequence[str] = (),
    *,
    scale: float = 1.0,
) -> np.ndarray:
    """Draw boxes on an image, each in its colour with its label on the same colour.

    A label stands on its box, or inside it where there is no room above, and always whole in the
    picture. Large boxes are drawn first, so that small ones stay visible.

    Args:
        image: RGB (H, W, 3), values in 0..255.
        boxes: (M, 4) x1, y1, x2, y2 in pixels of the image.
        colors: M colours; of classes, :func:`~vfnet_d2.visualization.palette.class_color`.
        labels: M texts, or none.
        scale: enlargement of the picture.

    Returns:
        RGB picture (H * scale, W * scale, 3), uint8.
    """
    visualizer = Visualizer(np.ascontiguousarray(image), scale=scale)
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for number in np.argsort(-areas, kind="stable").tolist():
        visualizer.draw_box(boxes[number], alpha=1.0, edge_color=colors[number])
        if labels:
            _draw_label(visualizer, boxes[number], labels[number], colors[number])
    return np.asarray(visualizer.output.get_image())


def _draw_label(visualizer: Visualizer, box: np.ndarray, label: str, color: Color | str) -> None:
    output = visualizer.output
    background = matplotlib.colors.to_rgb(color)
    side = (output.width * output.height) ** 0.5 * output.scale
    text = output.ax.text(
        0,
        0,
        label,
        size=float(np.clip(side / _SIDES_PER_POINT, _SMALLEST_FONT, _LARGEST_FONT)),
        family="sans-serif",
        color=text_color(background),
        bbox={"facecolor": background, "edgecolor": "none", "pad": 1},
        verticalalignment="top",
        zorder=10,
        parse_math=False,  # names of classes are no formulas
    )
    renderer = output.canvas.get_renderer()
    text.update_bbox_position_size(renderer)
    extent = text.get_bbox_patch().get_window_extent(renderer)
    (x1, y1), (x2, y2) = output.ax.transData.inverted().transform(extent.get_points())
    width, height = x2 - x1, y1 - y2  # pixels of the image, whose y runs downwards
    above = box[1] - height
    left = np.clip(box[0], 0, max(output.width - width, 0))
    top = np.clip(above if above >= 0 else box[1], 0, max(output.height - height, 0))
    text.set_position((left - x1, top - y2))
