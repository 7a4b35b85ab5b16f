"""Tests of vfnet_d2.inference.run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from detectron2.structures import Instances
from PIL import Image

from tests.helpers.predicting import RectangleFinder
from vfnet_d2.inference.options import InferenceOptions
from vfnet_d2.inference.run import RunSummary, run_prediction
from vfnet_d2.inference.sources import Frame, find_sources


class FakePredictor:
    """One red rectangle in each image of :func:`folder`; remembers the batches."""

    input_format = "RGB"
    options = InferenceOptions(batch_size=2)

    def __init__(self, error: type[BaseException] | None = None) -> None:
        self.batches: list[int] = []
        self.error = error

    def predict(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """Fail at the second batch, if it should."""
        if self.error and self.batches:
            raise self.error
        self.batches.append(len(images))
        return RectangleFinder()(images)


class Recorder:
    """A writer that remembers."""

    def __init__(self) -> None:
        self.added: list[tuple[str, int]] = []
        self.ended = ""

    def add(self, frame: Frame, detections: Instances) -> None:
        """Remember the file and its number of detections."""
        self.added.append((Path(frame.source.path).name, len(detections)))

    def finish(self) -> Path:
        """Remember."""
        self.ended = "finished"
        return Path("somewhere")

    def discard(self) -> None:
        """Remember."""
        self.ended = "discarded"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of different sizes, with one rectangle each, and a broken one."""
    path = tmp_path_factory.mktemp("images")
    for index in range(5):
        image = np.zeros((40 + index, 50, 3), dtype=np.uint8)
        image[5:15, 5:25, 0] = 255
        Image.fromarray(image).save(path / f"{index}.png")
    (path / "1_broken.png").write_bytes(b"")
    return path


def run(folder: Path, predictor: FakePredictor) -> tuple[RunSummary, Recorder]:
    recorder = Recorder()
    summary = run_prediction(predictor, find_sources([str(folder)]), [recorder])  # type: ignore
    return summary, recorder


def test_everything_is_predicted_in_order_and_in_batches(folder: Path) -> None:
    predictor = FakePredictor()
    summary, recorder = run(folder, predictor)
    assert recorder.added == [(f"{index}.png", 1) for index in range(5)]
    assert predictor.batches == [2, 2, 1]
    assert (summary.frames, summary.detections, summary.stopped) == (5, 5, False)
    assert (summary.written, recorder.ended) == ([Path("somewhere")], "finished")


def test_what_is_broken_is_reported(folder: Path) -> None:
    summary, _ = run(folder, FakePredictor())
    assert [Path(item.source.path).name for item in summary.skipped] == ["1_broken.png"]


def test_an_interrupt_writes_what_there_is(folder: Path) -> None:
    summary, recorder = run(folder, FakePredictor(KeyboardInterrupt))
    assert summary.stopped
    assert summary.frames == len(recorder.added) == 2
    assert recorder.ended == "finished"


def test_an_error_leaves_nothing_half_written(folder: Path) -> None:
    recorder = Recorder()
    sources = find_sources([str(folder)])
    with pytest.raises(MemoryError):
        run_prediction(FakePredictor(MemoryError), sources, [recorder])  # type: ignore
    assert recorder.ended == "discarded"
