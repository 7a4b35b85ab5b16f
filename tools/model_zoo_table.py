#!/usr/bin/env python3
"""Rewrite the tables of MODEL_ZOO.md: published figures, and what is counted on the models here.

Every model is built and run once on an empty image of 800 x 1344 pixels, which takes minutes.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf

from vfnet_d2 import model_zoo
from vfnet_d2.modeling.complexity import count_flops, count_parameters
from vfnet_d2.utils.files import write_text

PAGE = Path(__file__).resolve().parents[1] / "MODEL_ZOO.md"
# 1333x800, the largest size of an inference, padded to a multiple of 32
HEIGHT, WIDTH = 800, 1344
UNKNOWN = "CHECKPOINT.pth"


class Row(NamedTuple):
    """A row of the results table: what the paper, its authors' repository and mmdet publish.

    Attributes:
        config: name in the model zoo.
        val: box AP on COCO val2017.
        test_dev: box AP on COCO test-dev.
        narrow: the same with the training range 640-800, or "".
        fps: frames per second on a V100.
        file: mmdet's checkpoint, or "" where only the authors' repository has one.
    """

    config: str
    val: str
    test_dev: str
    narrow: str
    fps: str
    file: str


class YOLOFRow(NamedTuple):
    """A published YOLOF.

    Attributes:
        config: name in the model zoo.
        val: box AP on COCO val2017.
        publisher: whose figure and weights these are.
        file: name of the checkpoint, or "" where the publisher's is not known.
    """

    config: str
    val: str
    publisher: str
    file: str


class Counts(NamedTuple):
    """What is counted on a model built from a config."""

    parameters: int
    flops: int


ROWS = (
    Row(
        *("vfnet_R_50_1x", "41.6", "41.6", "", "19.4"),
        "vfnet_r50_fpn_1x_coco_20201027-38db6f58.pth",
    ),
    Row(
        *("vfnet_R_50_MS_2x", "44.5", "44.8", "44.3", "19.3"),
        "vfnet_r50_fpn_mstrain_2x_coco_20201027-7cc75bd2.pth",
    ),
    Row(
        *("vfnet_R_50_DCN_MS_2x", "47.8", "48.0", "47.3", "16.3"),
        "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-6879c318.pth",
    ),
    Row(
        *("vfnet_R_101_1x", "43.0", "43.6", "", "15.5"),
        "vfnet_r101_fpn_1x_coco_20201027pth-c831ece7.pth",
    ),
    Row("vfnet_R_101_2x", "43.5", "43.9", "", "15.6", ""),
    Row(
        *("vfnet_R_101_MS_2x", "46.2", "46.7", "46.0", "15.6"),
        "vfnet_r101_fpn_mstrain_2x_coco_20201027pth-4a5d53f1.pth",
    ),
    Row(
        *("vfnet_R_101_DCN_MS_2x", "49.0", "49.2", "48.4", "12.6"),
        "vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-7729adb5.pth",
    ),
    Row("vfnet_X_101_32x4d_MS_2x", "47.4", "47.6", "46.7", "13.1", ""),
    Row(
        *("vfnet_X_101_32x4d_DCN_MS_2x", "49.7", "50.0", "49.2", "10.1"),
        "vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-d300a6fc.pth",
    ),
    Row("vfnet_X_101_64x4d_MS_2x", "48.2", "48.5", "47.4", "9.2", ""),
    Row(
        *("vfnet_X_101_64x4d_DCN_MS_2x", "50.4", "50.8", "49.9", "6.7"),
        "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-b5f6da5e.pth",
    ),
    Row("vfnet_R2_101_MS_2x", "49.2", "49.3", "48.4", "13.0", ""),
    Row("vfnet_R2_101_DCN_MS_2x", "51.1", "51.3", "50.4", "10.3", ""),
)

_AUTHOR = "chensnathan/YOLOF"
YOLOF_ROWS = (
    YOLOFRow(
        *("yolof/yolof_R_50_C5_1x", "37.5", "mmdet"),
        "yolof_r50_c5_8x8_1x_coco_20210425_024427-8e864411.pth",
    ),
    YOLOFRow("yolof/yolof_R_50_DC5_1x", "39.2", _AUTHOR, ""),
    YOLOFRow("yolof/yolof_R_101_C5_1x", "39.8", _AUTHOR, ""),
)


def count_all(rows: Sequence[Row | YOLOFRow]) -> dict[str, Counts]:
    """Build the model of every row without weights and count; models that are alike only once."""
    known: dict[str, Counts] = {}
    counts = {}
    for row in rows:
        lazy = model_zoo.get_config(row.config, suffix=".py")
        model_config = OmegaConf.to_yaml(lazy.model)
        if model_config not in known:
            model = model_zoo.get(row.config, device="cpu")
            flops = count_flops(model, HEIGHT, WIDTH)
            known[model_config] = Counts(count_parameters(model), flops)
        counts[row.config] = known[model_config]
        print(row.config, *counts[row.config], flush=True)
    return counts


def results_table(counts: dict[str, Counts]) -> str:
    """The table of published and counted figures, by config."""
    lines = [
        "| config | AP val | AP test-dev | AP test-dev, 640-800 | V100 fps | parameters | GFLOPs |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        found = counts[row.config]
        cells = [
            f"[{row.config}](configs/{row.config}.yaml)",
            *(row.val, row.test_dev, row.narrow, row.fps),
            f"{found.parameters:,}",
            f"{found.flops / 1e9:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def yolof_table(counts: dict[str, Counts]) -> str:
    """The table of YOLOF's figures, by config."""
    lines = ["| config | AP val | published by | parameters | GFLOPs |", "|---|---|---|---|---|"]
    for row in YOLOF_ROWS:
        found = counts[row.config]
        link = f"[{os.path.basename(row.config)}](configs/{row.config}.yaml)"
        figures = (f"{found.parameters:,}", f"{found.flops / 1e9:.1f}")
        lines.append(f"| {' | '.join((link, row.val, row.publisher, *figures))} |")
    return "\n".join(lines)


def commands(rows: Sequence[Row | YOLOFRow]) -> str:
    """The conversion command of each row."""
    lines = ["```bash"]
    for row in rows:
        name = os.path.basename(row.config)
        source, target = row.file or UNKNOWN, f"weights/{name}.safetensors"
        lines.append(f"python tools/convert_checkpoint.py {source} {target}")
    return "\n".join([*lines, "```"])


def replace_section(page: str, name: str, content: str) -> str:
    """Put ``content`` between the two comments that mark a section of the page.

    Raises:
        ValueError: the page does not have both marks, in this order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page must have a line {begin!r} and, below it, a line {end!r}")
    return f"{head}{begin}\n{content}\n{end}{tail}"


def main() -> None:
    """Count every model and write the page, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE, help="file to rewrite (%(default)s)")
    path = parser.parse_args().page
    page = path.read_text(encoding="utf-8")
    page = replace_section(page, "results", results_table(count_all(ROWS)))
    page = replace_section(page, "commands", commands(ROWS))
    page = replace_section(page, "yolof", yolof_table(count_all(YOLOF_ROWS)))
    page = replace_section(page, "yolof commands", commands(YOLOF_ROWS))
    write_text(path, page)


if __name__ == "__main__":
    main()
