"""Tests of vfnet_d2.training.from_lazy beyond the runs of test_train_net.py."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import DictConfig

from tests.helpers.coco_data import CLASSES, registered_coco, write_coco
from tests.helpers.quick_model import LAZY, YAML, quick_model, save_weights
from vfnet_d2.config import TrainingOptions
from vfnet_d2.training import from_lazy as lazy
from vfnet_d2.training import from_yaml as trainer
from vfnet_d2.training.launch import argument_parser


def load(*overrides: str) -> DictConfig:
    return LazyConfig.apply_overrides(LazyConfig.load(LAZY), list(overrides))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three images with one object each."""
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder, [[{"bbox": [30, 20, 60, 70], "category_id": k + 1}] for k in range(3)])
    with registered_coco(folder) as name:
        DatasetCatalog.get(name)
        yield name


def test_the_model_is_on_the_device_of_the_config() -> None:
    model = lazy.build_model(load("train.device=meta"))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_classes_of_every_dataset_are_checked() -> None:
    MetadataCatalog.get("of_five").set(thing_classes=list(CLASSES))
    MetadataCatalog.get("of_two").set(thing_classes=list(CLASSES[:2]))
    try:
        lazy.check_classes(load(), ["of_five"])
        with pytest.raises(ValueError, match=r"model\.num_classes is 5, but dataset 'of_two'"):
            lazy.check_classes(load(), ["of_five", "of_two"])
    finally:
        MetadataCatalog.remove("of_five")
        MetadataCatalog.remove("of_two")


def test_without_gpus_the_run_is_on_the_cpu(tmp_path: Path) -> None:
    options = [f"train.output_dir={tmp_path}", "train.device=cuda"]
    arguments = argument_parser().parse_args(["--config-file", LAZY, "--num-gpus", "0", *options])
    assert lazy.setup(arguments).train.device == "cpu"


def test_evaluation_detects_what_the_yaml_config_detects(dataset: str, tmp_path: Path) -> None:
    weights = save_weights(quick_model(), tmp_path / "model.pth")
    options = {
        "lazy": [
            *(f"train.init_checkpoint={weights}", f"train.output_dir={tmp_path / 'lazy'}"),
            *(f"dataloader.test.dataset.names={dataset}", "dataloader.test.num_workers=0"),
        ],
        "yaml": [
            *("MODEL.WEIGHTS", str(weights), "OUTPUT_DIR", str(tmp_path / "yaml")),
            *("DATASETS.TEST", f"('{dataset}',)", "DATALOADER.NUM_WORKERS", "0"),
        ],
    }
    found = {}
    for kind, engine in {"lazy": lazy, "yaml": trainer}.items():
        path = LAZY if kind == "lazy" else YAML
        command = ["--config-file", path, "--num-gpus", "0", "--eval-only", *options[kind]]
        assert "AP" in engine.run(argument_parser().parse_args(command))["bbox"]
        text = (tmp_path / kind / "coco_instances_results.json").read_text()
        found[kind] = sorted(
            (d["image_id"], d["category_id"], *d["bbox"], d["score"]) for d in json.loads(text)
        )
    assert len(found["lazy"]) == len(found["yaml"]) >= 10
    torch.testing.assert_close(
        torch.tensor(found["lazy"]), torch.tensor(found["yaml"]), rtol=1e-4, atol=1e-3
    )


def test_training_returns_the_last_evaluation(dataset: str, tmp_path: Path) -> None:
    options = [
        *(f"train.output_dir={tmp_path}", "train.max_iter=2", "train.eval_period=2"),
        *(f"dataloader.{part}.dataset.names={dataset}" for part in ("train", "test")),
        *(f"dataloader.{part}.num_workers=0" for part in ("train", "test")),
        *("dataloader.train.total_batch_size=1", "train.log_period=1"),
    ]
    arguments = argument_parser().parse_args(["--config-file", LAZY, "--num-gpus", "0", *options])
    results = lazy.run(arguments)
    assert "AP" in results["bbox"]
    assert torch.load(tmp_path / "model_final.pth", weights_only=True)["iteration"] == 1


def test_options_of_the_training_are_read() -> None:
    cfg = load("train.options.ema=True", "train.options.trackers=[wandb]")
    assert lazy.training_options(cfg) == TrainingOptions(ema=True, trackers=("wandb",))


def test_a_config_without_options_takes_the_defaults() -> None:
    cfg = load()
    del cfg.train["options"]
    assert lazy.training_options(cfg) == TrainingOptions()


def test_an_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"train\.options\.emma is unknown; there are accumulate,.*ema"
    ):
        lazy.training_options(load("train.options.emma=True"))
