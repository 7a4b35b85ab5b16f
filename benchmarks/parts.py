"""What is timed: a detector's inference and training step by part, its floor, single stages."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from benchmarks.floor import floor_network
from benchmarks.timing import Parts, Stopwatch
from vfnet_d2.layers.deform.star_conv import StarConv2d
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import DenseBoxes, HeadOutputs
from vfnet_d2.training.optimizers import build_optimizer

Job = Callable[[], Parts]

# Pairs of anchor and class an image that pass the threshold in inference; scattered ones, which
# cost most. A new model finds none, and would be timed without refining a box.
CANDIDATES = 1000


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


class _PartTimes:
    """Books the seconds of a model's star convolutions, forward, and of its matching.

    Args:
        model: whose methods are timed while this is entered.
        watch: where the seconds are booked.
        around: name of the part during which they run.
    """

    def __init__(self, model: OneStageDetector, watch: Stopwatch, around: str) -> None:
        stars = [m for m in model.modules() if isinstance(m, StarConv2d)]
        methods = ("forward_levels", "forward_cells")
        self.timed: list[tuple[nn.Module, str, str]] = [
            *((layer, method, "star convolution") for layer in stars for method in methods),
            (model, "assign", "matching"),
        ]
        self.watch = watch
        self.around = around

    def __enter__(self) -> None:
        for module, method, part in self.timed:
            setattr(module, method, functools.partial(self._time, part, getattr(module, method)))

    def _time(self, part: str, compute: Callable[..., Any], *args: Any) -> Any:
        self.watch.mark(self.around)
        out = compute(*args)
        self.watch.mark(part)
        return out

    def __exit__(self, *unused: object) -> None:
        for module, method, _ in self.timed:
            delattr(module, method)


def _predict(
    model: OneStageDetector, batch: list[dict[str, Any]], watch: Stopwatch
) -> tuple[ImageList, HeadOutputs]:
    """Run ``model.network`` on a batch and book its parts as each of them ends."""
    images = model.preprocess_image(batch)
    watch.mark("preprocessing")
    backbone: Any = model.backbone
    ends = {"FPN": backbone, "head": model.head}
    if hasattr(backbone, "bottom_up"):
        ends["backbone"] = backbone.bottom_up
    handles = [
        module.register_forward_hook(functools.partial(_mark, watch, part))
        for part, module in ends.items()
    ]
    try:
        with _PartTimes(model, watch, "head"):
            outputs = model.network(images.tensor)
    finally:
        for handle in handles:
            handle.remove()
    return images, outputs


def _mark(watch: Stopwatch, part: str, *hook_arguments: Any) -> None:
    del hook_arguments
    watch.mark(part)


def training_step(
    model: OneStageDetector, optimizer: torch.optim.Optimizer, batch: list[dict[str, Any]]
) -> Parts:
    """Run one training step and return the seconds of its parts."""
    watch = Stopwatch(model.device)
    _, outputs = _predict(model, batch, watch)
    targets = [item["instances"].to(model.device) for item in batch]
    with _PartTimes(model, watch, "losses"):
        losses = model.losses(outputs, targets)
    watch.mark("losses")
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    watch.mark("backward")
    optimizer.step()
    watch.mark("optimizer")
    return watch.parts


@torch.no_grad()
def inference(model: OneStageDetector, batch: list[dict[str, Any]]) -> Parts:
    """Run inference, to final boxes, and return the seconds of its parts."""
    watch = Stopwatch(model.device)
    images, outputs = _predict(model, batch, watch)
    with _PartTimes(model, watch, "post-processing"):
        model.detections(outputs, images.image_sizes)
    watch.mark("post-processing")
    return watch.parts


@torch.no_grad()
def let_pass(model: OneStageDetector, batch: list[dict[str, Any]], *, candidates: int) -> None:
    """Shift a new model's scores so that as many pass the threshold as a trained model's might.

    Args:
        model: whose classifier's bias moves.
        batch: what it sees; all images together.
        candidates: pairs of anchor and class that will score above it, or all if there are fewer.
    """
    watch = Stopwatch(model.device)
    _, outputs = _predict(model.eval(), batch, watch)
    logits = torch.cat([level.flatten() for level in outputs.logits])
    limit = torch.logit(torch.tensor(model.score_thresh)).item()
    lowest = logits.topk(min(candidates, len(logits))).values[-1]
    model.head.cls_pred.bias.add_(limit - lowest)


def inference_job(model: OneStageDetector, batch: list[dict[str, Any]]) -> Job:
    """Bind :func:`inference` to a model and a batch, in which it will find candidates."""
    let_pass(model, batch, candidates=CANDIDATES * len(batch))
    return functools.partial(inference, model.eval(), batch)


def training_job(cfg: CfgNode, model: OneStageDetector, batch: list[dict[str, Any]]) -> Job:
    """Bind :func:`training_step` to a model, its config's optimizer and a batch."""
    model = model.train()
    return functools.partial(training_step, model, build_optimizer(cfg, model), batch)


def with_floor(cfg: CfgNode, *, seed: int = 0) -> dict[str, OneStageDetector]:
    """Build a config's model and, if it has star convolutions, its floor, with equal weights."""
    torch.manual_seed(seed)
    model = build_model(cfg)
    models = {"model": model}
    if any(isinstance(module, StarConv2d) for module in model.modules()):
        models["floor"] = floor_network(model)
    return models


def matching_job(model: OneStageDetector, *, boxes: int, size: tuple[int, int]) -> Job:
    """Time the matching alone on two images of ``size`` with ``boxes`` objects each.

    What a matcher sees of predictions is random.
    """
    height, width = size
    batch = random_batch(images=2, height=height, width=width, boxes=boxes, num_classes=1)
    targets = [item["instances"].to(model.device) for item in batch]
    maps = _empty_maps(model, height, width)
    generator: Any = model.anchor_generator
    anchors = generator(maps)
    random = torch.Generator().manual_seed(0)
    channels = 4 * generator.num_cell_anchors[0]
    deltas = [torch.randn(2, channels, *x.shape[2:], generator=random) / 10 for x in maps]
    stages = [DenseBoxes([x.to(model.device) for x in deltas])]

    def match() -> None:
        model.assign(anchors, targets, stages)

    return _repeated(model.device, "matching", match)


def postprocessing_job(model: OneStageDetector, *, candidates: int, size: tuple[int, int]) -> Job:
    """Time post-processing alone, with about ``candidates`` pairs above the threshold."""
    height, width = size
    maps = _empty_maps(model, height, width)
    points = sum(x.shape[2] * x.shape[3] for x in maps)
    share = candidates / (points * model.num_classes)
    generator = torch.Generator().manual_seed(0)
    # Normal logits, shifted so that this share of them passes.
    shift = torch.special.ndtri(torch.tensor(1 - share)).item()
    limit = torch.logit(torch.tensor(model.score_thresh)).item()
    logits, boxes = [], []
    for x in maps:
        cells = x.shape[2:]
        normal = torch.randn(1, model.num_classes, *cells, generator=generator)
        logits.append((limit + (normal - shift) / 2).to(model.device))
        boxes.append((0.1 + 0.8 * torch.rand(1, 4, *cells, generator=generator)).to(model.device))
    outputs = HeadOutputs(logits=logits, boxes=[DenseBoxes(boxes)])

    @torch.no_grad()
    def run() -> None:
        model.detections(outputs, [size])

    return _repeated(model.device, "post-processing", run)


def _repeated(device: torch.device, name: str, run: Callable[[], Any], *, times: int = 5) -> Job:
    """Time a stage of milliseconds: the mean of several calls, after one that wakes the cores."""

    def job() -> Parts:
        run()
        watch = Stopwatch(device)
        for _ in range(times):
            run()
        watch.mark(name)
        return {name: watch.parts[name] / times}

    return job


def _empty_maps(model: OneStageDetector, height: int, width: int) -> list[Tensor]:
    """Feature maps of the sizes that an image, padded to a multiple of 32, has."""
    generator: Any = model.anchor_generator
    padded = [-(-side // 32) * 32 for side in (height, width)]
    return [
        torch.zeros(1, 1, *(-(-side // stride) for side in padded), device=model.device)
        for stride in generator.strides
    ]
