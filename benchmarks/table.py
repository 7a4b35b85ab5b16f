"""The project's goals, measured: what ``make bench`` prints."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from benchmarks import parts as benchmark
from benchmarks.data import PHOTO, data_job
from benchmarks.plain import compute_plainly
from benchmarks.timing import Runs, interleave, medians
from vfnet_d2.config import add_vfnet_config, merge_yaml_file
from vfnet_d2.model_zoo import config_file


class Row(NamedTuple):
    """One measured goal.

    Attributes:
        what: what is timed.
        seconds: medians by name.
        figure: the number the goal is about: a ratio, or milliseconds.
        goal: what it should be at most.
        unit: "x" or "ms".
        parts: medians of the parts of each job, in seconds.
        disturbed: samples, of all, during which other programs computed.
        samples: all samples.
    """

    what: str
    seconds: dict[str, float]
    figure: float
    goal: float | None
    unit: str
    parts: dict[str, dict[str, float]]
    disturbed: int
    samples: int


def load_config(name: str, device: str) -> CfgNode:
    """Return a config by name, without weights."""
    cfg = add_vfnet_config(get_cfg())
    merge_yaml_file(cfg, config_file(name))
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = device
    return cfg


def ratio_row(what: str, runs: dict[str, Runs], goal: float | None) -> Row:
    """Compare the first job with the second."""
    parts = {name: medians(run.samples) for name, run in runs.items()}
    first, second = (figures["total"] for figures in parts.values())
    return _row(what, runs, parts, first / second, goal, "x")


def time_row(what: str, runs: dict[str, Runs], goal: float | None) -> Row:
    """Report the milliseconds of the only job."""
    parts = {name: medians(run.samples) for name, run in runs.items()}
    (figures,) = parts.values()
    return _row(what, runs, parts, 1000 * figures["total"], goal, "ms")


def _row(
    what: str,
    runs: dict[str, Runs],
    parts: dict[str, dict[str, float]],
    figure: float,
    goal: float | None,
    unit: str,
) -> Row:
    return Row(
        what=what,
        seconds={name: figures["total"] for name, figures in parts.items()},
        figure=figure,
        goal=goal,
        unit=unit,
        parts=parts,
        disturbed=sum(run.disturbed for run in runs.values()),
        samples=sum(len(run.samples) for run in runs.values()),
    )


def goal_rows(device: str, *, repeats: int) -> list[Callable[[], Row]]:
    """One measurement per goal, in the order of the table; each builds what it needs."""
    settings: dict[str, Any] = {"repeats": repeats, "warmup": 2}

    def run_inference() -> Row:
        batch = _images(1, 800, 1216, boxes=0)
        models = benchmark.with_floor(load_config("vfnet_R_50_1x", device))
        jobs = {name: benchmark.inference_job(model, batch) for name, model in models.items()}
        return ratio_row("inference 1 x 800 x 1216 over floor", interleave(jobs, **settings), 1.05)

    def run_training() -> Row:
        cfg = load_config("vfnet_R_50_1x", device)
        models, batch = benchmark.with_floor(cfg), _images(2, 512, 640, boxes=10)
        jobs = {name: benchmark.training_job(cfg, model, batch) for name, model in models.items()}
        return ratio_row(
            "training step 2 x 512 x 640 over floor", interleave(jobs, **settings), 1.1
        )

    def run_deformable() -> Row:
        batch = _images(1, 800, 1216, boxes=0)
        jobs = {}
        for name in ("vfnet_R_50_DCN_MS_2x", "vfnet_R_50_MS_2x"):
            torch.manual_seed(0)
            jobs[name] = benchmark.inference_job(build_model(load_config(name, device)), batch)
        return ratio_row(
            "deformable backbone and towers over plain", interleave(jobs, **settings), 1.4
        )

    def run_matching(boxes: int, goal: float | None) -> Row:
        model = build_model(load_config("vfnet_R_50_1x", device))
        job = benchmark.matching_job(model, boxes=boxes, size=(800, 1333))
        runs = interleave({"ATSS": job}, repeats=3 * repeats, warmup=3)
        return time_row(f"ATSS, 2 images with {boxes} boxes each", runs, goal)

    def run_uniform_matching() -> Row:
        model = build_model(load_config("yolof/yolof_R_50_C5_1x", device))
        job = benchmark.matching_job(model, boxes=100, size=(800, 1333))
        runs = interleave({"uniform": job}, repeats=3 * repeats, warmup=3)
        return time_row("YOLOF's matching, 2 images with 100 boxes each", runs, 5)

    def run_yolof() -> Row:
        batch = _images(1, 800, 1216, boxes=0)
        jobs = {}
        for name in ("yolof/yolof_R_50_C5_1x", "baselines/retinanet_R_50_1x"):
            torch.manual_seed(0)
            jobs[name] = benchmark.inference_job(build_model(load_config(name, device)), batch)
        return ratio_row("YOLOF over RetinaNet, 1 x 800 x 1216", interleave(jobs, **settings), 0.5)

    def run_postprocessing() -> Row:
        model = build_model(load_config("vfnet_R_50_1x", device)).eval()
        job = benchmark.postprocessing_job(model, candidates=100_000, size=(800, 1333))
        runs = interleave({"post-processing": job}, repeats=3 * repeats, warmup=3)
        return time_row("post-processing, 100,000 candidates", runs, 10)

    return [
        run_inference,
        lambda: _over_fast_ways_off(device, settings),
        run_training,
        lambda: data_row(load_config("vfnet_R_50_1x", device), images=2, boxes=10, **settings),
        run_deformable,
        lambda: run_matching(500, 10),
        lambda: run_matching(3000, None),
        run_postprocessing,
        run_yolof,
        run_uniform_matching,
    ]


def data_row(cfg: CfgNode, *, images: int, boxes: int, repeats: int, warmup: int) -> Row:
    """Time reading and augmenting training images, which is beside the step and not in it."""
    job = data_job(cfg, images=images, boxes=boxes)
    height, width = PHOTO
    runs = interleave({"data": job}, repeats=repeats, warmup=warmup)
    return time_row(f"data, {images} photographs of {height} x {width}, in one process", runs, None)


def _over_fast_ways_off(device: str, settings: dict[str, Any]) -> Row:
    """Compare inference with that of the same model computing the plain ways.

    The star convolutions stay gathered in both.
    """
    batch = _images(1, 800, 1216, boxes=0)
    jobs = {}
    for name in ("model", "fast ways off"):
        torch.manual_seed(0)
        model = build_model(load_config("vfnet_R_50_1x", device))
        if name == "fast ways off":
            compute_plainly(model)
        jobs[name] = benchmark.inference_job(model, batch)
    return ratio_row("the same over all fast ways off", interleave(jobs, **settings), None)


def _images(images: int, height: int, width: int, *, boxes: int) -> list[dict[str, Any]]:
    return benchmark.random_batch(
        images=images, height=height, width=width, boxes=boxes, num_classes=80
    )
