"""Time detectors against their floor, and the stages that have goals (``make bench``).

    python -m benchmarks.speed                              the table of goals
    python -m benchmarks.speed --config-file configs/vfnet_R_50_1x.yaml --size 512 640 --images 2
    python -m benchmarks.speed --config-file FILE --size 800 1333 --images 1 --modes fp32 tf32 bf16

The floor is the same network with ordinary 3x3 convolutions in place of the star convolutions; both
run in turn in one process. Figures are medians. Stop everything else that computes: samples during
which other programs did are taken again, and counted where that did not help.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from tabulate import tabulate

from benchmarks import parts as benchmark
from benchmarks.modes import WORDS, Speed, compare_modes, parse_mode
from benchmarks.table import Row, data_row, goal_rows, ratio_row, time_row
from benchmarks.time_chart import draw_times
from benchmarks.timing import interleave, peak_memory
from vfnet_d2.config import add_vfnet_config, merge_yaml_file
from vfnet_d2.utils.files import write_text
from vfnet_d2.utils.memory import keep_freed_memory
from vfnet_d2.utils.system import available_device


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", metavar="FILE", help="time this YAML config instead")
    parser.add_argument("--size", nargs=2, type=int, default=[160, 160], metavar=("H", "W"))
    parser.add_argument("--images", type=int, default=8, help="batch size")
    parser.add_argument("--boxes", type=int, default=4, help="ground-truth boxes an image")
    parser.add_argument(
        "--modes",
        nargs="+",
        metavar="MODE",
        help=f"time the config in these ways: {', '.join(WORDS)}, or several joined by '+'",
    )
    parser.add_argument("--repeats", type=int, default=9, help="samples of each job")
    parser.add_argument("--device", default="cuda", help="the CPU is used where there is no GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw where the time goes there",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides")
    arguments = parser.parse_args()
    if arguments.modes and not arguments.config_file:
        parser.error("--modes needs --config-file")
    return arguments


def read_config(arguments: argparse.Namespace, device: str) -> CfgNode:
    """Read the named config with its overrides."""
    cfg = add_vfnet_config(get_cfg())
    merge_yaml_file(cfg, arguments.config_file)
    cfg.merge_from_list([*arguments.opts, "MODEL.DEVICE", device])
    return cfg


def make_batch(arguments: argparse.Namespace, cfg: CfgNode) -> list[dict[str, Any]]:
    """Make the images asked for."""
    height, width = arguments.size
    return benchmark.random_batch(
        images=arguments.images,
        height=height,
        width=width,
        boxes=arguments.boxes,
        num_classes=cfg.MODEL.ONE_STAGE.NUM_CLASSES,
    )


def config_rows(arguments: argparse.Namespace, device: str) -> list[Row]:
    """Inference and training of one config, over its floor where it has one."""
    cfg = read_config(arguments, device)
    batch = make_batch(arguments, cfg)
    height, width = arguments.size
    rows = []
    for what in ("inference", "training step"):
        jobs = {}
        for name, model in benchmark.with_floor(cfg).items():
            if what == "inference":
                jobs[name] = benchmark.inference_job(model, batch)
            else:
                jobs[name] = benchmark.training_job(cfg, model, batch)
        runs = interleave(jobs, repeats=arguments.repeats, warmup=2)
        compare = ratio_row if len(runs) == 2 else time_row
        rows.append(compare(f"{what} {arguments.images} x {height} x {width}", runs, None))
    count = {"images": arguments.images, "boxes": arguments.boxes}
    rows.append(data_row(cfg, **count, repeats=arguments.repeats, warmup=2))
    return rows


def show_modes(arguments: argparse.Namespace, device: str) -> list[Speed]:
    """Time a config in several ways of computing and print a table."""
    try:
        modes = {text: parse_mode(text, device) for text in arguments.modes}
    except ValueError as error:
        raise SystemExit(f"benchmark.py: error: {error}") from None
    cfg = read_config(arguments, device)
    found = compare_modes(modes, cfg, make_batch(arguments, cfg), repeats=arguments.repeats)
    table = [
        [
            speed.what,
            speed.mode,
            f"{1000 * speed.seconds:.1f}",
            f"{speed.images:.2f}",
            f"{speed.of_peak:.0%}",
            "" if speed.memory is None else f"{speed.memory:.0f}",
            f"{speed.disturbed} of {speed.samples}",
        ]
        for speed in found
    ]
    titles = ["", "mode", "ms", "images/s", "of peak", "peak MiB", "disturbed samples"]
    print(f"\n{arguments.images} x {arguments.size[0]} x {arguments.size[1]}\n")
    print(tabulate(table, headers=titles, disable_numparse=True))
    return found


def show_parts(row: Row) -> None:
    """Print the milliseconds of a row's parts, a line a job."""
    names = list(dict.fromkeys(part for parts in row.parts.values() for part in parts))
    table = [
        [job, *(1000 * parts.get(name, float("nan")) for name in names)]
        for job, parts in row.parts.items()
    ]
    disturbed = f"; {row.disturbed} of {row.samples} samples disturbed" if row.disturbed else ""
    print(f"\n{row.what}, milliseconds{disturbed}\n")
    print(tabulate(table, headers=["", *names], floatfmt=".1f"), flush=True)


def show_summary(rows: list[Row]) -> None:
    """Print the figures beside their goals."""
    table = [
        [
            row.what,
            f"{row.figure:.2f} {row.unit}" if row.unit == "x" else f"{row.figure:.1f} {row.unit}",
            "" if row.goal is None else f"<= {row.goal:g} {row.unit}",
            "" if row.goal is None else ("met" if row.figure <= row.goal else "missed"),
            f"{row.disturbed} of {row.samples}",
        ]
        for row in rows
    ]
    print()
    print(tabulate(table, headers=["what", "measured", "goal", "", "disturbed samples"]))


def main() -> None:
    """Measure, print tables, write JSON."""
    keep_freed_memory()  # as vfnet and train_net.py do
    arguments = parse_arguments()
    device = available_device(arguments.device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, device {device}")
    rows: list[Row] = []
    speeds: list[Speed] = []
    if arguments.modes:
        speeds = show_modes(arguments, device)
    elif arguments.config_file:
        rows = config_rows(arguments, device)
        for row in rows:
            show_parts(row)
    else:
        for measure in goal_rows(device, repeats=arguments.repeats):
            rows.append(measure())
            show_parts(rows[-1])
    if rows:
        show_summary(rows)
    memory = peak_memory(torch.device(device))
    print(f"\npeak memory of the whole run: {memory:.0f} MiB")
    if arguments.picture and rows:
        draw(rows, arguments.picture)
    if arguments.json:
        about: dict[str, Any] = {"torch": torch.__version__, "device": device}
        about |= {"threads": torch.get_num_threads(), "peak_memory_mib": memory}
        figures = {**about, "rows": [row._asdict() for row in rows]}
        figures["modes"] = [speed._asdict() for speed in speeds]
        write_text(arguments.json, json.dumps(figures, indent=1))


def draw(rows: list[Row], path: Path) -> None:
    """Draw the rows that compare jobs of several parts."""
    charts = {row.what: row.parts for row in rows if len(row.parts) > 1}
    draw_times(charts, path)


if __name__ == "__main__":
    main()
