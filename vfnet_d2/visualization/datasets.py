"""Pictures of a dataset: box sizes, class balance, and a contact sheet with boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.ticker
import numpy as np
from detectron2.data import detection_utils
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from vfnet_d2.check.across import Split
from vfnet_d2.check.boxes import box_findings, clip_box
from vfnet_d2.check.summary import MEDIUM_AREA, SMALL_AREA, summarise
from vfnet_d2.data.formats.records import ImageRecord, box_area
from vfnet_d2.utils.files import replacing
from vfnet_d2.visualization.boxes import draw_boxes
from vfnet_d2.visualization.palette import BARS, DOUBTFUL, class_color
from vfnet_d2.visualization.pictures import save_picture

_TILE = 360  # longer side of an image in the contact sheet, in pixels
_COLUMNS, _ROWS = 5, 4
_MARGIN, _CAPTION = 8, 26
_MOST_CLASSES = 40  # bars in the picture of the class balance
_DPI = 120


def write_pictures(splits: Mapping[str, Split], folder: Path) -> list[Path]:
    """Write pictures of every split that has images, and return their paths.

    Args:
        splits: of a check; the pictures' names start with the split's if there are several.
        folder: made if needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, split in splits.items():
        prefix = f"{name or 'dataset'}_" if len(splits) > 1 else ""
        draws = {"box_sizes": draw_box_sizes, "class_balance": draw_class_balance}
        for stem, draw in draws.items():
            paths.append(folder / f"{prefix}{stem}.png")
            draw(split, paths[-1])
        sheet = contact_sheet(split)
        if sheet is not None:
            paths.append(folder / f"{prefix}contact_sheet.png")
            save_picture(sheet, paths[-1])
    return paths


def draw_box_sizes(split: Split, path: Path) -> None:
    """Draw the histogram of the square root of box areas, with COCO's size ranges."""
    boxes = [a.box for r in split.records for a in r.annotations if not a.iscrowd]
    sides = np.sqrt([max(box_area(box), 0.0) for box in boxes if np.isfinite(box).all()])
    sides = sides[sides > 0]
    figure, axes = _axes(7.0, 4.0)
    if len(sides):
        low, high = np.log2(sides.min()) - 0.05, np.log2(sides.max()) + 0.05
        axes.hist(sides, bins=np.logspace(low, high, 40, base=2), color=BARS)
        axes.set_xscale("log", base=2)
        axes.set_xlim(2**low, 2**high)
        axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.margins(y=0.12)
    for bound, label in ((SMALL_AREA, "small | medium"), (MEDIUM_AREA, "medium | large")):
        side = bound**0.5
        if len(sides) and sides.min() < side < sides.max():
            axes.axvline(side, color="#666666", linestyle="--", linewidth=1)
            where = axes.get_xaxis_transform()
            axes.text(side, 0.98, label, transform=where, ha="center", va="top", fontsize=8,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    axes.set_xlabel("square root of the box area (pixels of the original image)")
    axes.set_ylabel("objects")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.set_title(f"Sizes of {len(sides):,} boxes")
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png")


def draw_class_balance(split: Split, path: Path) -> None:
    """Draw the number of objects of each class, in the order of the classes."""
    entries = summarise(split)["classes"]
    shown = entries[:_MOST_CLASSES]
    figure, axes = _axes(7.0, 1.4 + 0.28 * max(len(shown), 1))
    counts = [entry["objects"] for entry in shown]
    colors = [class_color(index) for index in range(len(shown))]
    bars = axes.barh([_cut(entry["name"]) for entry in shown], counts, color=colors)
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.set_xlabel("objects")
    more = f", the first {len(shown)} of {len(entries)}" if len(entries) > len(shown) else ""
    axes.set_title(f"Objects of each class{more}")
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png")


def contact_sheet(split: Split) -> np.ndarray | None:
    """Images with objects, spread over the split, with their boxes.

    Images with doubtful boxes, or turned by EXIF, come first and have red names.

    Returns:
        RGB picture (H, W, 3), uint8; None if no image can be read.
    """
    chosen, doubtful = _choose(split)
    if not chosen:
        return None
    tiles = [_tile(record, split.reader.classes) for record in chosen]
    columns = min(_COLUMNS, len(chosen))
    starts = range(0, len(chosen), columns)
    heights = [max(tile.height for tile in tiles[start : start + columns]) for start in starts]
    total = sum(heights) + len(heights) * (_CAPTION + _MARGIN)
    sheet = Image.new("RGB", (columns * (_TILE + _MARGIN) + _MARGIN, total + _MARGIN), "white")
    for number, (record, tile) in enumerate(zip(chosen, tiles, strict=True)):
        row, column = divmod(number, columns)
        left = _MARGIN + column * (_TILE + _MARGIN)
        top = _MARGIN + sum(heights[:row]) + row * (_CAPTION + _MARGIN)
        color = DOUBTFUL if record.path in doubtful else "black"
        _write_caption(sheet, _cut(Path(record.path).name), (left, top), color)
        sheet.paste(tile, (left, top + _CAPTION))
    return np.asarray(sheet)


def _choose(split: Split) -> tuple[list[ImageRecord], set[str]]:
    """The images of the contact sheet, and the paths of all doubtful ones in the split."""
    usable = [pair for pair in zip(split.records, split.facts, strict=True) if any(pair[1].stored)]
    turned_paths = {record.path for record, facts in usable if facts.orientation != 1}
    filled = [r for r, _ in usable if r.annotations] or [r for r, _ in usable]
    turned = [record for record in filled if record.path in turned_paths]
    wrong = [r for r in filled if r.path not in turned_paths and any(box_findings(r))]
    doubtful = {record.path for record in (*turned, *wrong)}
    plain = [record for record in filled if record.path not in doubtful]
    whole = _COLUMNS * _ROWS
    half = max(whole // 2, whole - len(plain))
    chosen = _spread(turned, half // 2 if wrong else half)
    chosen += _spread(wrong, half - len(chosen))
    chosen += _spread(plain, whole - len(chosen))
    return chosen, doubtful


def _tile(record: ImageRecord, classes: Sequence[str]) -> Image.Image:
    """An image of the contact sheet with its boxes, scaled before they are drawn."""
    pixels = Image.fromarray(detection_utils.read_image(record.path, format="RGB"))
    scale = _TILE / max(pixels.size)
    size = (max(round(pixels.width * scale), 1), max(round(pixels.height * scale), 1))
    # Boxes are drawn where training would see them: relative to the recorded size.
    x_scale, y_scale = size[0] / (record.width or 1), size[1] / (record.height or 1)
    boxes, labels, colors = [], [], []
    for annotation in record.annotations:
        if not np.isfinite(annotation.box).all():
            continue
        x1, y1, x2, y2 = annotation.box
        box = clip_box((x1 * x_scale, y1 * y_scale, x2 * x_scale, y2 * y_scale), *size)
        if box_area(box) > 0:
            name = classes[annotation.class_index]
            boxes.append(box)
            labels.append(f"{name} (crowd)" if annotation.iscrowd else name)
            colors.append(class_color(annotation.class_index))
    picture = draw_boxes(np.asarray(pixels.resize(size)), np.array(boxes), colors, labels)
    return Image.fromarray(picture)


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of its own: pyplot's global state belongs to the user."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _spread(records: Sequence[ImageRecord], count: int) -> list[ImageRecord]:
    """At most ``count`` records at even distances."""
    count = min(count, len(records))
    return [records[i * len(records) // count] for i in range(count)]


def _write_caption(sheet: Image.Image, text: str, place: tuple[int, int], color: str) -> None:
    font = ImageFont.load_default(size=14)
    ImageDraw.Draw(sheet).text((place[0], place[1] + 4), text, fill=color, font=font)


def _cut(text: str, *, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
