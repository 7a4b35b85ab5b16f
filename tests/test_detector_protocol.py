"""A detector of another kind goes every way that those of the family go."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY

from tests.helpers.finetuning import SIZE, write_small_dataset
from tests.helpers.mean_colour import MeanColourDetector
from vfnet_d2.cli import main as cli
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.data.formats.register import register_dataset
from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.detector import is_detector, is_detector_class
from vfnet_d2.training import from_lazy, from_yaml
from vfnet_d2.training.launch import argument_parser

LAZY = """
from detectron2.config import LazyCall as L
from tests.helpers.mean_colour import MeanColourDetector
from configs.common.data import detection_data
from configs.common.solver import sgd, step_schedule
from configs.common.train import train_settings

model = L(MeanColourDetector)(num_classes=5)
dataloader = detection_data(
    train="colour_train", test="colour_val", train_sizes=(96,), test_size=96, batch_size=2,
    num_workers=0,
)
optimizer = sgd(lr=0.1)
lr_multiplier = step_schedule(max_iter=4, steps=(3,), warmup=0)
train = train_settings(max_iter=4, eval_period=2, checkpointer={"period": 2}, output_dir="OUTPUT")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """COCO files of a training and a validation set, both registered."""
    folder = tmp_path_factory.mktemp("colour")
    files = {
        "colour_train": write_small_dataset(folder / "train", images=6),
        "colour_val": write_small_dataset(folder / "val", images=3),
    }
    for name, file in files.items():
        register_dataset(name, file)
    yield files


def yaml_config(output: Path) -> Path:
    """A config file of a training of four iterations."""
    cfg = add_vfnet_config(get_cfg())
    cfg.MODEL.META_ARCHITECTURE = "MeanColourDetector"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    cfg.INPUT.FORMAT = "RGB"
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("colour_train",), ("colour_val",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (SIZE,), SIZE
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR = 2, 4, 0.1
    cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = (3,), 2
    cfg.TEST.EVAL_PERIOD = 2
    cfg.TRAINING.EMA = cfg.TRAINING.KEEP_BEST = True
    cfg.OUTPUT_DIR = str(output)
    path = output.parent / "colour.yaml"
    path.write_text(cfg.dump())
    return path


def run(engine: Any, config: Path, *options: str) -> dict[str, Any]:
    command = ["--config-file", str(config), "--num-gpus", "0", *options]
    return engine.run(argument_parser().parse_args(command))


@pytest.fixture(scope="module")
def trained(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a training from a YAML config."""
    output = tmp_path_factory.mktemp("trained") / "out"
    results = run(from_yaml, yaml_config(output))
    assert "AP" in results["bbox"]
    return output


def test_the_double_is_a_detector_and_no_dense_one() -> None:
    model = MeanColourDetector(num_classes=2)
    assert is_detector(model) and not isinstance(model, OneStageDetector)
    assert is_detector_class(MeanColourDetector)


def test_every_registered_detector_of_the_family_is_one() -> None:
    ours = [cls for _, cls in META_ARCH_REGISTRY if str(cls.__module__).startswith("vfnet_d2")]
    assert len(ours) >= 6 and all(map(is_detector_class, ours))
    # and Detectron2's own are not
    assert not is_detector_class(META_ARCH_REGISTRY.get("GeneralizedRCNN"))


def test_a_yaml_training_resumes_and_evaluates(trained: Path) -> None:
    final = torch.load(trained / "model_final.pth", weights_only=True)
    assert final["iteration"] == 3 and "ema" in final
    config = trained.parent / "colour.yaml"
    resumed = run(from_yaml, config, "--resume", "SOLVER.MAX_ITER", "6")
    weights = str(trained / "model_final_ema.pth")
    evaluated = run(from_yaml, config, "--eval-only", "MODEL.WEIGHTS", weights)
    assert evaluated["bbox"] == pytest.approx(resumed["bbox"], nan_ok=True)


def test_a_wrong_number_of_classes_names_the_detector_s_own_key(trained: Path) -> None:
    with pytest.raises(ValueError, match=r"MODEL\.ROI_HEADS\.NUM_CLASSES is 7, .*5 classes"):
        run(from_yaml, trained.parent / "colour.yaml", "MODEL.ROI_HEADS.NUM_CLASSES", "7")


def test_a_lazy_training_and_evaluation(data: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "colour.py"
    config.write_text(LAZY.replace("OUTPUT", str(tmp_path / "out")))
    results = run(from_lazy, config, "train.options.keep_best=True")
    weights = f"train.init_checkpoint={tmp_path / 'out' / 'model_final.pth'}"
    evaluated = run(from_lazy, config, "--eval-only", weights)
    assert evaluated["bbox"] == pytest.approx(results["bbox"], nan_ok=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"score_threshold": 0.5}, {"tta": [(96, 200)], "tta_flip": False}, {"tile": 64}],
)
def test_a_checkpoint_alone_predicts(options: dict[str, Any], trained: Path) -> None:
    predictor = Predictor(trained / "model_final.pth", device="cpu")
    image = np.full((96, 120, 3), 90, np.uint8)
    found = predictor(image, channel_order="RGB", **options)
    assert predictor.class_names[0] != "0"
    assert (found.scores > options.get("score_threshold", 0.05)).all()
    assert found.image_size == (96, 120)


def with_one_class(file: str) -> str:
    """A copy of a COCO file whose objects are all of one class."""
    content = json.loads(Path(file).read_text())
    content["categories"] = [{"id": 1, "name": "blob"}]
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    copy = Path(file).with_name("blobs.json")
    copy.write_text(json.dumps(content))
    return str(copy)


def test_vfnet_trains_on_other_classes_and_reports(
    trained: Path, data: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, val = (with_one_class(data[name]) for name in ("colour_train", "colour_val"))
    weights, output = str(trained / "model_final.pth"), str(tmp_path / "tuned")
    command = ["train", train, "--val", val, "--weights", weights, "--output", output]
    options = ["--num-gpus", "0", "--opts", "SOLVER.MAX_ITER", "4", "TEST.EVAL_PERIOD", "2"]
    assert cli.main([*command, *options]) == 0, capsys.readouterr().err
    tuned = torch.load(tmp_path / "tuned" / "model_final.pth", weights_only=True)
    assert tuned["model"]["scores.weight"].shape == (1, 3)
    best = str(tmp_path / "tuned" / "model_best.pth")
    report = str(tmp_path / "report")
    assert cli.main(["eval", val, "--weights", best, "--output", report]) in (0, 1)
    assert (tmp_path / "report" / "report.json").exists()
