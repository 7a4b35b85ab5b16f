"""One detector in several ways of computing: precision, memory format, compiled or not."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from benchmarks.parts import CANDIDATES, let_pass
from benchmarks.plain import lay_maps_out
from benchmarks.timing import Parts, Stopwatch, interleave, medians
from vfnet_d2.modeling.complexity import count_flops
from vfnet_d2.training.optimizers import build_optimizer
from vfnet_d2.utils.choices import AMP_PRECISIONS
from vfnet_d2.utils.precision import PRECISIONS

# Words that a mode is made of, joined by "+".
WORDS = ("fp32", "tf32", "bf16", "fp16", "channels-last", "compile")
# Operations of forward and backward pass over those of the forward pass alone.
_TRAINING_PASSES = 3
INFERENCE, TRAINING = "inference", "training step"


class Mode(NamedTuple):
    """A way of computing.

    Attributes:
        dtype: of convolutions and products; float32, or what autocast turns them to.
        tf32: whether a GPU may round float32 products to TF32.
        channels_last: whether maps lie channels last in memory.
        compiled: whether backbone and head are compiled by ``torch.compile``.
    """

    dtype: torch.dtype
    tf32: bool
    channels_last: bool
    compiled: bool


class Speed(NamedTuple):
    """What a mode reaches.

    Attributes:
        what: "inference" or "training step".
        mode: its text.
        seconds: of a batch, the median.
        images: a second.
        of_peak: operations a second over those of large matrix products in the same precision.
        memory: peak of a GPU's memory in MiB; None on a CPU.
        disturbed: samples, of all, during which other programs computed.
        samples: all samples.
    """

    what: str
    mode: str
    seconds: float
    images: float
    of_peak: float
    memory: float | None
    disturbed: int
    samples: int


def parse_mode(text: str, device: str) -> Mode:
    """Read a mode such as "bf16+channels-last+compile".

    Args:
        text: words of ``WORDS`` joined by "+"; no precision is "fp32".
        device: "cpu", "cuda", ...

    Raises:
        ValueError: an unknown word, two precisions, or TF32 without a GPU.
    """
    words = text.split("+")
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise ValueError(
            f"mode {text!r}: unknown word {unknown[0]!r}; join some of {', '.join(WORDS)} by '+'"
        )
    precisions = [word for word in words if word in ("fp32", "tf32", *AMP_PRECISIONS)]
    if len(precisions) > 1:
        raise ValueError(f"mode {text!r} has two precisions: {' and '.join(precisions)}; keep one")
    if "tf32" in words and not device.startswith("cuda"):
        raise ValueError(f"mode {text!r}: only NVIDIA GPUs have TF32; the device is {device}")
    name = AMP_PRECISIONS.get(precisions[0]) if precisions else None
    dtype = PRECISIONS[name] if name else torch.float32
    return Mode(dtype, "tf32" in words, "channels-last" in words, "compile" in words)


@contextlib.contextmanager
def precision(mode: Mode, device: torch.device) -> Iterator[None]:
    """Compute in a mode's precision while entered."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode.tf32
    low = mode.dtype != torch.float32
    try:
        with torch.autocast(device.type, dtype=mode.dtype if low else None, enabled=low):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def build_for(mode: Mode, cfg: CfgNode, *, seed: int = 0) -> Any:
    """Build a config's detector as a mode wants it."""
    torch.manual_seed(seed)
    model: Any = build_model(cfg)
    lay_maps_out(model, torch.channels_last if mode.channels_last else torch.contiguous_format)
    if mode.channels_last:
        model.to(memory_format=torch.channels_last)
    return model


def compile_network(model: Any) -> None:
    """Compile backbone and head; matching and post-processing depend on the data."""
    model.backbone.compile()
    model.head.compile()


def mode_job(
    what: str, mode: Mode, cfg: CfgNode, batch: list[dict[str, Any]]
) -> Callable[[], Parts]:
    """Bind inference of a batch, to final boxes, or a training step, in a mode.

    A step has no gradient scaler, whose cost is nothing beside it.
    """
    model = build_for(mode, cfg)
    training = what == TRAINING
    if not training:
        let_pass(model, batch, candidates=CANDIDATES * len(batch))
    if mode.compiled:
        compile_network(model)
    model.train(training)
    optimizer = build_optimizer(cfg, model) if training else None

    def run() -> Parts:
        watch = Stopwatch(model.device)
        with precision(mode, model.device), torch.set_grad_enabled(training):
            results = model(batch)
        if optimizer is not None:
            optimizer.zero_grad()
            torch.stack(list(results.values())).sum().backward()
            optimizer.step()
        watch.mark("all")
        return watch.parts

    return run


def compare_modes(
    modes: dict[str, Mode],
    cfg: CfgNode,
    batch: list[dict[str, Any]],
    *,
    repeats: int,
    seconds: float = 1.0,
) -> list[Speed]:
    """Time inference and training steps of a config in several modes, in turn.

    Args:
        modes: by their texts.
        cfg: of the detector, with its device.
        batch: of images of one size.
        repeats: samples of each.
        seconds: how long each precision's peak is looked for.
    """
    device = torch.device(cfg.MODEL.DEVICE)
    height, width = batch[0]["image"].shape[-2:]
    operations = len(batch) * _operations(cfg, height, width)
    kinds = {(mode.dtype, mode.tf32): mode for mode in modes.values()}
    peaks = {kind: peak_operations(mode, device, seconds=seconds) for kind, mode in kinds.items()}
    found = []
    for what, passes in ((INFERENCE, 1), (TRAINING, _TRAINING_PASSES)):
        memory = {name: _memory(what, mode, cfg, batch) for name, mode in modes.items()}
        jobs = {name: mode_job(what, mode, cfg, batch) for name, mode in modes.items()}
        for name, runs in interleave(jobs, repeats=repeats, warmup=2).items():
            taken = medians(runs.samples)["total"]
            found.append(
                Speed(
                    what=what,
                    mode=name,
                    seconds=taken,
                    images=len(batch) / taken,
                    of_peak=passes
                    * operations
                    / taken
                    / peaks[modes[name].dtype, modes[name].tf32],
                    memory=memory[name],
                    disturbed=runs.disturbed,
                    samples=len(runs.samples),
                )
            )
    return found


def _memory(what: str, mode: Mode, cfg: CfgNode, batch: list[dict[str, Any]]) -> float | None:
    """Peak of a GPU's memory in MiB while this mode alone is on it; None on a CPU."""
    if torch.device(cfg.MODEL.DEVICE).type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    job = mode_job(what, mode, cfg, batch)
    for _ in range(2):
        job()
    return torch.cuda.max_memory_allocated() / 2**20


def peak_operations(mode: Mode, device: torch.device, *, seconds: float = 1.0) -> float:
    """Multiply-adds a second that large matrix products reach in a mode's precision.

    Args:
        mode: whose precision counts.
        device: what multiplies.
        seconds: how long to try; the best product counts.
    """
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.rand(side, side, device=device, dtype=mode.dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    with precision(mode._replace(dtype=torch.float32), device):
        while time.perf_counter() < end:
            watch = Stopwatch(device)
            a @ b
            watch.mark("product")
            best = min(best, watch.parts["product"])
    return side**3 / best


def _operations(cfg: CfgNode, height: int, width: int) -> int:
    """Multiply-adds of backbone, pyramid and head for one padded image."""
    cfg = cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu"])
    return count_flops(build_model(cfg), -(-height // 32) * 32, -(-width // 32) * 32)
