"""The shipped checkpoint reproduces the figures that stand beside it."""

import json
from pathlib import Path

import pytest

from vfnet_d2.model_zoo import config_file
from vfnet_d2.shapes.dataset import SHAPES_SPLITS, make_shapes, register_shapes
from vfnet_d2.training import from_lazy as lazy
from vfnet_d2.training import from_yaml as trainer
from vfnet_d2.training.launch import argument_parser

ASSETS = Path(__file__).resolve().parents[1] / "vfnet_d2" / "assets"
CHECKPOINT = ASSETS / "vfnet_shapes.pth"
RECORD = json.loads((ASSETS / "vfnet_shapes.json").read_text())


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_shapes(root / "shapes_val", SHAPES_SPLITS["shapes_val"], workers=0)
    register_shapes(root)
    yield root
    register_shapes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "engine", "weights", "output"),
    [
        (".yaml", trainer, ["MODEL.WEIGHTS", str(CHECKPOINT)], ["OUTPUT_DIR"]),
        (".py", lazy, [f"train.init_checkpoint={CHECKPOINT}"], ["train.output_dir="]),
    ],
)
def test_evaluation_alone_gives_the_recorded_ap(
    datasets, tmp_path, suffix, engine, weights, output
):
    place = [*output, str(tmp_path)] if suffix == ".yaml" else [f"{output[0]}{tmp_path}"]
    file = config_file("quick/vfnet_shapes", suffix=suffix)
    command = ["--config-file", file, "--num-gpus", "0", "--eval-only", *weights, *place]
    results = engine.run(argument_parser().parse_args(command))
    assert results["bbox"]["AP"] == pytest.approx(RECORD["results"]["AP"], abs=0.1)
    assert results["bbox"]["AP50"] == pytest.approx(RECORD["results"]["AP50"], abs=0.1)


def test_the_checkpoint_is_small():
    assert CHECKPOINT.stat().st_size <= 6 * 2**20
