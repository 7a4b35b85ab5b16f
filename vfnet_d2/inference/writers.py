"""Files of predictions: COCO JSON, CSV, YOLO txt, and pictures; each whole or not there."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from detectron2.structures import Instances

from vfnet_d2.inference.sources import Frame, Source, stem_of
from vfnet_d2.utils.files import write_text

PICTURES = "pictures"
CSV_COLUMNS = (
    *("file", "frame", "class_index", "class_name", "score"),
    *("x1", "y1", "x2", "y2", "image_width", "image_height"),
)


class PredictionWriter(Protocol):
    """Takes one frame after the other, and completes its files in the end."""

    def add(self, frame: Frame, detections: Instances) -> None:
        """Take the detections of the next frame, in its pixels."""
        ...

    def finish(self) -> Path:
        """Complete the files, and return the file or folder."""
        ...

    def discard(self) -> None:
        """Remove what is not complete."""
        ...


class OutputNames:
    """One name for the outputs of each source: its stem, with a number where that is taken.

    Args:
        folder: of all outputs.
        sources: all of them; no output gets the place of one.
    """

    def __init__(self, folder: Path, sources: Sequence[Source]) -> None:
        self.folder = folder
        self._inputs = {Path(source.path).resolve().with_suffix("") for source in sources}
        self._names: dict[Source, str] = {}
        self._taken: set[str] = set()

    def path(self, kind: str, source: Source, suffix: str) -> Path:
        """Return ``folder/kind/name`` with a suffix such as "_000001.txt"."""
        if source not in self._names:
            self._names[source] = self._free(stem_of(source))
        return self.folder / kind / f"{self._names[source]}{suffix}"

    def _free(self, stem: str) -> str:
        name, number = stem, 1
        while name.casefold() in self._taken or self._is_input(name):
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name.casefold())
        return name

    def _is_input(self, name: str) -> bool:
        return (self.folder / PICTURES / name).resolve() in self._inputs


def rows_of(detections: Instances) -> list[tuple[tuple[float, ...], float, int]]:
    """Box (x1, y1, x2, y2), score and class index of each detection, as plain numbers."""
    boxes = [tuple(box) for box in detections.pred_boxes.tensor.tolist()]
    scores, classes = detections.scores.tolist(), detections.pred_classes.tolist()
    return list(zip(boxes, scores, classes, strict=True))


class CocoWriter:
    """``predictions.json``: images, categories, and annotations with a score.

    Ids count from 1; a category's id is its class index + 1, as ``vfnet data convert`` writes it.
    """

    def __init__(self, names: OutputNames, class_names: Sequence[str]) -> None:
        self._path = names.folder / "predictions.json"
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._categories = [
            {"id": number, "name": name} for number, name in enumerate(class_names, start=1)
        ]

    def add(self, frame: Frame, detections: Instances) -> None:
        """See :class:`PredictionWriter`."""
        height, width = frame.image.shape[:2]
        image_id = len(self._images) + 1
        self._images.append(
            {"id": image_id, "file_name": frame.label, "width": width, "height": height}
        )
        for (x1, y1, x2, y2), score, category in rows_of(detections):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": category + 1,
                    "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round((x2 - x1) * (y2 - y1), 3),
                    "iscrowd": 0,
                    "score": round(score, 6),
                }
            )

    def finish(self) -> Path:
        """See :class:`PredictionWriter`."""
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories,
        }
        write_text(self._path, json.dumps(content, separators=(",", ":"), allow_nan=False))
        return self._path

    def discard(self) -> None:
        """Nothing is written before the end."""


class CsvWriter:
    """``predictions.csv``: a line for each detection."""

    def __init__(self, names: OutputNames, class_names: Sequence[str]) -> None:
        self._path = names.folder / "predictions.csv"
        self._class_names = class_names
        self._text = io.StringIO(newline="")
        self._lines = csv.writer(self._text)
        self._lines.writerow(CSV_COLUMNS)

    def add(self, frame: Frame, detections: Instances) -> None:
        """See :class:`PredictionWriter`."""
        height, width = frame.image.shape[:2]
        place = (frame.source.path, "" if frame.number is None else frame.number)
        for box, score, index in rows_of(detections):
            corners = [f"{value:.3f}" for value in box]
            name = self._class_names[index]
            self._lines.writerow([*place, index, name, f"{score:.6f}", *corners, width, height])

    def finish(self) -> Path:
        """See :class:`PredictionWriter`."""
        write_text(self._path, self._text.getvalue())
        return self._path

    def discard(self) -> None:
        """Nothing is written before the end."""


class YoloWriter:
    """``labels/``: a file ``class cx cy w h`` for each frame, and ``classes.txt``.

    The lines have no score, so that they can be read as ground truth, for labelling by hand.
    """

    def __init__(self, names: OutputNames, class_names: Sequence[str]) -> None:
        self._names = names
        self._class_names = class_names

    def add(self, frame: Frame, detections: Instances) -> None:
        """See :class:`PredictionWriter`."""
        height, width = frame.image.shape[:2]
        lines = []
        for (x1, y1, x2, y2), _, index in rows_of(detections):
            center = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
            values = (*center, (x2 - x1) / width, (y2 - y1) / height)
            lines.append(f"{index} {' '.join(f'{value:.8f}' for value in values)}\n")
        suffix = ".txt" if frame.number is None else f"_{frame.number:06d}.txt"
        write_text(self._names.path("labels", frame.source, suffix), "".join(lines))

    def finish(self) -> Path:
        """See :class:`PredictionWriter`."""
        folder = self._names.folder / "labels"
        # Not among the labels, where an image may be called so.
        text = "".join(f"{name}\n" for name in self._class_names)
        write_text(self._names.folder / "classes.txt", text)
        return folder

    def discard(self) -> None:
        """Every file that is there is complete."""


WRITERS: Mapping[str, Callable[[OutputNames, Sequence[str]], PredictionWriter]] = {
    "coco": CocoWriter,
    "csv": CsvWriter,
    "yolo": YoloWriter,
}
