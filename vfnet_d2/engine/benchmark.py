"""Timing of a detector's parts on random images; a measurement, never a test."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor

from vfnet_d2.modeling.meta_arch.one_stage import OneStageDetector
from vfnet_d2.modeling.structures import HeadOutputs

Parts = dict[str, float]


def random_batch(
    *, images: int, height: int, width: int, boxes: int, num_classes: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Make training inputs of uniform noise with ``boxes`` random boxes an image."""
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for _ in range(images):
        corner = torch.rand(boxes, 2, generator=generator) * torch.tensor([width, height]) * 0.7
        size = torch.rand(boxes, 2, generator=generator) * torch.tensor([width, height]) * 0.25 + 4
        target = Instances((height, width))
        target.gt_boxes = Boxes(torch.cat([corner, corner + size], dim=1))
        target.gt_classes = torch.randint(num_classes, (boxes,), generator=generator)
        image = torch.randint(256, (3, height, width), generator=generator).float()
        batch.append({"image": image, "instances": target})
    return batch


class Stopwatch:
    """Seconds between marks; waits for a GPU's queued work at each."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: Parts = {}
        self._last = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def mark(self, name: str) -> None:
        """Book the time since the last mark under ``name``."""
        now = self._now()
        self.parts[name] = self.parts.get(name, 0.0) + now - self._last
        self._last = now


def _predict(
    model: OneStageDetector, batch: list[dict[str, Any]], watch: Stopwatch
) -> tuple[ImageList, list[Tensor], HeadOutputs]:
    """Images, feature maps and head outputs of a batch, as ``DenseDetector.forward`` makes them."""
    images = model.preprocess_image(batch)
    features = model.backbone(images.tensor)
    levels = [features[name] for name in model.head_in_features]
    watch.mark("backbone and FPN")
    outputs = model.head(levels)
    watch.mark("head")
    return images, levels, outputs


def training_step(
    model: OneStageDetector, optimizer: torch.optim.Optimizer, batch: list[dict[str, Any]]
) -> Parts:
    """Run one training step and return the seconds of its parts."""
    watch = Stopwatch(model.device)
    images, levels, outputs = _predict(model, batch, watch)
    targets = [item["instances"].to(model.device) for item in batch]
    losses = model.forward_training(images, levels, outputs, targets)
    watch.mark("matching and losses")
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    watch.mark("backward")
    optimizer.step()
    watch.mark("optimizer")
    return watch.parts


@torch.no_grad()
def inference(model: OneStageDetector, batch: list[dict[str, Any]]) -> Parts:
    """Run inference and return the seconds of its parts."""
    watch = Stopwatch(model.device)
    images, levels, outputs = _predict(model, batch, watch)
    model.forward_inference(images, levels, outputs)
    watch.mark("post-processing")
    return watch.parts


def interleave(
    jobs: dict[str, Callable[[], Parts]], *, repeats: int, warmup: int
) -> dict[str, list[Parts]]:
    """Run jobs in turn, so that a machine's drift meets all of them, after ``warmup`` rounds."""
    runs: dict[str, list[Parts]] = {name: [] for name in jobs}
    for round_number in range(warmup + repeats):
        for name, job in jobs.items():
            parts = job()
            if round_number >= warmup:
                runs[name].append(parts)
    return runs


def medians(runs: Sequence[Parts]) -> Parts:
    """Median of each part, and of the total."""
    parts = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {**parts, "total": statistics.median(sum(run.values()) for run in runs)}
