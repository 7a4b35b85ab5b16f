"""Tests of tools/model_zoo_table.py, and that MODEL_ZOO.md is current."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from model_zoo_table import (
    PAGE,
    ROWS,
    YOLOF_ROWS,
    Counts,
    commands,
    replace_section,
    results_table,
    yolof_table,
)
from torch import nn

from tests.helpers.reference import DATA
from tests.test_config_twins import RESULTS_TABLE
from vfnet_d2 import model_zoo
from vfnet_d2.modeling.complexity import count_parameters

# Millions, of the reference: mmdet 3.3.0 with the corresponding configs
REFERENCE_PARAMETERS = {
    "vfnet_R_50_1x": 32.89,
    "vfnet_R_101_1x": 51.88,
    "vfnet_R_50_DCN_MS_2x": 33.89,
    "vfnet_X_101_32x4d_DCN_MS_2x": 55.49,
    "vfnet_X_101_64x4d_DCN_MS_2x": 98.63,
    "vfnet_R2_101_MS_2x": 52.56,
    "vfnet_R2_101_DCN_MS_2x": 55.04,
}


def page_rows() -> dict[str, list[str]]:
    """Cells of the page's results table by config."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found = re.fullmatch(r"\[(\w+)\]\(configs/\1\.yaml\)", cells[0])
        if found:
            rows[found[1]] = cells[1:]
    return rows


def test_rows_are_those_of_the_results_table() -> None:
    assert [row.config for row in ROWS] == list(page_rows())
    assert {row.config for row in ROWS} == RESULTS_TABLE


@pytest.mark.parametrize(("config", "millions"), REFERENCE_PARAMETERS.items())
def test_parameters_on_the_page_are_the_reference_s(config: str, millions: float) -> None:
    parameters = int(page_rows()[config][4].replace(",", ""))
    assert f"{parameters / 1e6:.2f}" == f"{millions:.2f}"


def test_the_page_is_what_the_tool_writes() -> None:
    """All but the FLOPs, which take minutes, and the parameters, which the next test counts."""
    text = PAGE.read_text(encoding="utf-8")
    counts = {
        config: Counts(int(cells[4].replace(",", "")), round(float(cells[5]) * 1e9))
        for config, cells in page_rows().items()
    }
    written = replace_section(text, "results", results_table(counts))
    assert replace_section(written, "commands", commands(ROWS)) == text


def yolof_rows() -> dict[str, list[str]]:
    """Cells of YOLOF's table by config."""
    rows = re.findall(
        r"^\| \[(\w+)\]\(configs/(yolof/\1)\.yaml\) \| (.+) \|$", PAGE.read_text("utf-8"), re.M
    )
    return {config: cells.split(" | ") for _, config, cells in rows}


def test_yolof_s_table_is_what_the_tool_writes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    counts = {
        config: Counts(int(cells[2].replace(",", "")), round(float(cells[3]) * 1e9))
        for config, cells in yolof_rows().items()
    }
    assert list(counts) == [row.config for row in YOLOF_ROWS]
    written = replace_section(text, "yolof", yolof_table(counts))
    assert replace_section(written, "yolof commands", commands(YOLOF_ROWS)) == text


def test_yolof_s_parameters_are_the_reference_s() -> None:
    with np.load(DATA / "yolof_r50_c5.npz") as arrays:
        expected = json.loads(str(arrays["meta_json"]))["n_params"]
    assert yolof_rows()["yolof/yolof_R_50_C5_1x"][2] == f"{expected:,}"


def test_yolof_s_figures_stand_in_its_configs() -> None:
    for row in YOLOF_ROWS:
        for suffix in (".yaml", ".py"):
            head = Path(model_zoo.config_file(row.config, suffix=suffix)).read_text("utf-8")
            assert f"published box AP {row.val} on COCO val2017" in head
            assert row.publisher in head


@pytest.mark.slow
def test_parameters_on_the_page_are_current() -> None:
    published = {config: cells[4] for config, cells in page_rows().items()}
    published |= {config: cells[2] for config, cells in yolof_rows().items()}
    for config, parameters in published.items():
        lazy = model_zoo.get_config(config, suffix=".py").model
        # Shapes alone are enough, and take no time.
        with torch.device("meta"):
            model = nn.ModuleDict({"backbone": instantiate(lazy.backbone)})
        lazy.head.num_classes = lazy.num_classes
        model["head"] = instantiate(lazy.head)
        assert f"{count_parameters(model):,}" == parameters, config


def test_published_figures_stand_in_the_configs_head_comments() -> None:
    for row in ROWS:
        for suffix in (".yaml", ".py"):
            with open(model_zoo.config_file(row.config, suffix=suffix), encoding="utf-8") as file:
                head = file.read()
            assert f"{row.val} on COCO val2017, {row.test_dev} on test-dev" in head
            assert not row.narrow or f"published {row.narrow} on test-dev, append" in head


def test_a_section_is_replaced_and_the_rest_stays() -> None:
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb"
    assert replace_section(page, "x", "new") == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb"


@pytest.mark.parametrize("page", ["", "<!-- x: begin -->", "<!-- x: end --><!-- x: begin -->"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="must have a line '<!-- x: begin -->'"):
        replace_section(page, "x", "new")
