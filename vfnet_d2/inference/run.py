"""Predictions of many images, in batches, with what could not be read reported in the end."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.inference.sources import Frame, Skipped, Source, read_frames
from vfnet_d2.inference.writers import PredictionWriter


class RunSummary(NamedTuple):
    """What a run did.

    Attributes:
        frames: images and frames predicted.
        detections: found in them.
        skipped: sources that could not be read.
        stopped: the user ended it early.
        written: files and folders.
    """

    frames: int
    detections: int
    skipped: list[Skipped]
    stopped: bool
    written: list[Path]


def run_prediction(
    predictor: Predictor,
    sources: Sequence[Source],
    writers: Sequence[PredictionWriter],
    *,
    max_frames: int | None = None,
) -> RunSummary:
    """Predict everything and write it; Ctrl-C ends the reading, and what was read is written.

    Args:
        predictor: makes the predictions, in batches of its size.
        sources: images, videos and cameras.
        writers: are given every frame in order.
        max_frames: most frames of each video or camera.
    """
    skipped: list[Skipped] = []
    frames, detections, stopped = 0, 0, False
    read = read_frames(sources, input_format=predictor.input_format, max_frames=max_frames)
    try:
        try:
            # A bar in a terminal; a log file has the summary.
            with tqdm(desc="Predicting", unit="image", total=_total(sources), disable=None) as bar:
                for batch in _batches(_readable(read, skipped), predictor.options.batch_size):
                    found = predictor.predict([frame.image for frame in batch])
                    for frame, instances in zip(batch, found, strict=True):
                        for writer in writers:
                            writer.add(frame, instances)
                        detections += len(instances)
                    frames += len(batch)
                    bar.update(len(batch))
        except KeyboardInterrupt:
            stopped = True
        written = [writer.finish() for writer in writers]
    except BaseException:
        for writer in writers:
            writer.discard()
        raise
    return RunSummary(frames, detections, skipped, stopped, written)


def _total(sources: Sequence[Source]) -> int | None:
    """Number of frames, if there are only images."""
    return len(sources) if all(source.kind == "image" for source in sources) else None


def _readable(read: Iterable[Frame | Skipped], skipped: list[Skipped]) -> Iterator[Frame]:
    for item in read:
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            yield item


def _batches(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
