"""The paper's Tables 3 and 5 at the quickstart's size: every detector, several seeds, resumable."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from vfnet_d2.evaluation.history import last_result
from vfnet_d2.model_zoo import get_config
from vfnet_d2.paper.reproduce_runs import LOCK, Results, Run, Settings
from vfnet_d2.paper.tables import TABLES, Row
from vfnet_d2.shapes.dataset import SHAPES_SPLITS, register_shapes
from vfnet_d2.training import from_yaml as trainer
from vfnet_d2.training.launch import argument_parser, launch
from vfnet_d2.utils.files import locked, write_text

QUICK = "quick/vfnet_shapes_fast"
# What of the quickstart's shorter variant every detector gets: data, recipe and backbone.
QUICK_NODES = (
    *("DATASETS", "DATALOADER", "INPUT", "SOLVER", "TEST"),
    *("MODEL.WEIGHTS", "MODEL.BACKBONE", "MODEL.RESNETS", "MODEL.FPN.OUT_CHANNELS"),
    "MODEL.ONE_STAGE.NUM_CLASSES",
)
HEAD_KEYS = ("CHANNELS", "INIT_STD")
# Towers without a norm do not stand the rate of those with one: their classifiers die.
PLAIN_TOWERS_RATE = 0.25
LOG = "output.txt"
FAILED = "FAILED"
_FULL_SET = "shapes_train"


def quick_settings() -> Settings:
    """Those of the quickstart's shorter variant."""
    cfg = get_config(QUICK)
    return Settings(cfg.SOLVER.MAX_ITER, SHAPES_SPLITS[_FULL_SET].num_images)


Train = Callable[[Run, Settings], None]


def choose_rows(
    tables: Sequence[str] = tuple(TABLES), names: Sequence[str] = ()
) -> list[tuple[str, list[Row]]]:
    """Titles and rows of the wanted tables.

    Args:
        tables: keys of :data:`TABLES`.
        names: of the wanted rows' configs, with or without folder; all if there is none.

    Raises:
        ValueError: no row has such a name; lists the known ones.
    """
    known = {name for title in tables for row in TABLES[title] for name in (row.name, row.config)}
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"no rows {unknown} in {list(tables)}; choose of {sorted(known)}")
    chosen = [
        (title, [row for row in TABLES[title] if not names or {row.name, row.config} & {*names}])
        for title in tables
    ]
    return [(title, rows) for title, rows in chosen if rows]


def plan(tables: Iterable[tuple[str, list[Row]]], seeds: Sequence[int], output: Path) -> list[Run]:
    """The runs of all rows, seed by seed, so that an early stop leaves whole rounds."""
    configs = list(dict.fromkeys(row.config for _, rows in tables for row in rows))
    return [
        Run(config, seed, output / config.rpartition("/")[2] / f"seed_{seed}")
        for seed in seeds
        for config in configs
    ]


def quick_config(run: Run, settings: Settings) -> CfgNode:
    """The run's config at the quickstart's size.

    Everything but the detector is as in the quickstart's shorter variant. The towers are as much
    shorter than the published ones as the quickstart's VFNet's are: two convolutions. RetinaNet and
    FoveaBox, which have no norm in them, learn at a quarter of the rate.
    """
    cfg, quick, full = get_config(run.config), get_config(QUICK), get_config("vfnet_R_50_1x")
    for key in QUICK_NODES:
        _put(cfg, key, _get(quick, key))
    quick_head, full_head = (c.MODEL.ONE_STAGE.HEAD.VFNetHead for c in (quick, full))
    head = cfg.MODEL.ONE_STAGE.HEAD[cfg.MODEL.ONE_STAGE.HEAD.NAME]
    for key in HEAD_KEYS:
        head[key] = quick_head[key]
    head.NUM_CONVS -= full_head.NUM_CONVS - quick_head.NUM_CONVS
    if not head.NORM:
        cfg.SOLVER.BASE_LR *= PLAIN_TOWERS_RATE
    cfg.SOLVER.MAX_ITER = settings.iterations
    cfg.SOLVER.WARMUP_ITERS = min(cfg.SOLVER.WARMUP_ITERS, settings.iterations // 3)
    cfg.SOLVER.CHECKPOINT_PERIOD = -(-settings.iterations // 4)
    cfg.TEST.EVAL_PERIOD = 0  # once, at the end
    cfg.DATASETS.TRAIN = (training_set(settings.images),)
    cfg.SEED = run.seed
    cfg.OUTPUT_DIR = str(run.folder)
    return cfg


def _get(cfg: CfgNode, key: str) -> Any:
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def _put(cfg: CfgNode, key: str, value: Any) -> None:
    parent, _, name = key.rpartition(".")
    (_get(cfg, parent) if parent else cfg)[name] = value


def training_set(images: int) -> str:
    """Name of the split with the first ``images`` images of the shapes' training set."""
    whole = images == SHAPES_SPLITS[_FULL_SET].num_images
    return _FULL_SET if whole else f"{_FULL_SET}_{images}"


def train_in_process(run: Run, settings: Settings) -> None:
    """Train and evaluate in a fresh process, from the run's last checkpoint if it has one.

    Raises:
        RuntimeError: it failed; names its log.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    job = run.folder / "job.yaml"
    write_text(job, quick_config(run, settings).dump())
    log = run.folder / LOG
    process = multiprocessing.get_context("spawn").Process(target=_train, args=(job, log, settings))
    process.start()
    try:
        process.join()
    finally:
        # Interrupted, this one must not leave it training; otherwise it has ended already.
        process.terminate()
        process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"exit status {process.exitcode}; the end of {log} says why")


def _train(job: Path, log: Path, settings: Settings) -> None:
    """What ``train_net.py --config-file JOB --resume`` does, its output in a file."""
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    words = ["--config-file", str(job), "--num-gpus", str(settings.num_gpus), "--resume"]
    launch(partial(_main, images=settings.images), argument_parser().parse_args(words))


def _main(args: Any, *, images: int) -> None:
    split = replace(SHAPES_SPLITS[_FULL_SET], num_images=images)
    register_shapes(splits={**SHAPES_SPLITS, training_set(images): split})
    trainer.run(args)


def execute(
    runs: Sequence[Run], results: Results, settings: Settings, *, train: Train = train_in_process
) -> Iterator[tuple[Run, str]]:
    """Do the runs that are not finished, and say of each how it ended.

    A run that fails does not stop the others; the next call tries it again. One that another
    process is at is left to that.
    """
    results.add()
    for run in runs:
        with locked(run.folder / LOCK, wait=False) as mine:
            results.read()
            if run.key in results.runs:
                yield run, f"AP {results.runs[run.key]['AP']:.2f}, finished before"
                continue
            if not mine:
                yield run, "left to the process that is at it"
                continue
            try:
                train(run, settings)
                result = last_result(run.folder / "metrics.json")
            except (RuntimeError, OSError, ValueError) as error:
                yield run, f"{FAILED}: {error}"
                continue
            results.add((run, result))
        yield run, f"AP {result['AP']:.2f}"
