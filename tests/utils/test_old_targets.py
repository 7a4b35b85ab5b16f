"""Tests of vfnet_d2.utils.old_targets."""

import importlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from detectron2.config import LazyConfig, instantiate
from omegaconf import OmegaConf

from vfnet_d2.model_zoo import config_file
from vfnet_d2.modeling.dense.detectors.vfnet import VFNet
from vfnet_d2.utils import old_targets
from vfnet_d2.utils.errors import UserError
from vfnet_d2.utils.old_targets import MOVED, current_target, load_lazy_config, rename_targets

# What the LazyConfigs in configs/ named before the modules moved.
OLD = [
    "data.dataset.load_dataset",
    "engine.solver.get_param_groups",
    "evaluation.coco.build_coco_evaluator",
    "losses.box.GIoULoss",
    "losses.box.SmoothL1Loss",
    "losses.focal.FocalLoss",
    "losses.quality_focal.QualityFocalLoss",
    "losses.varifocal.VarifocalLoss",
    "modeling.backbone.fpn.build_fpn",
    "modeling.backbone.res2net.build_res2net",
    "modeling.backbone.resnet.build_resnet",
    "modeling.box_coders.CentreSizeDeltas",
    "modeling.box_coders.LogDistances",
    "modeling.box_coders.CornerOffsets",
    "modeling.box_coders.LinearDistances",
    "modeling.heads.reppoints_head.RepPointsHead",
    "modeling.heads.tower_head.TowerHead",
    "modeling.heads.vfnet_head.VFNetHead",
    "modeling.matchers.atss.ATSSMatcher",
    "modeling.matchers.fovea.FoveaMatcher",
    "modeling.matchers.max_iou.MaxIoUMatcher",
    "modeling.matchers.point.PointMatcher",
    "modeling.meta_arch.atss.ATSS",
    "modeling.meta_arch.atss.FCOSATSS",
    "modeling.meta_arch.foveabox.FoveaBox",
    "modeling.meta_arch.reppoints.RepPoints",
    "modeling.meta_arch.retinanet.OneStageRetinaNet",
    "modeling.meta_arch.vfnet.VFNet",
    "modeling.meta_arch.one_stage.OneStageDetector",
]


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    old_targets._tell.cache_clear()
    yield
    old_targets._tell.cache_clear()


@pytest.mark.parametrize("name", OLD)
def test_what_old_configs_named_is_found(name: str) -> None:
    module, _, attribute = current_target(f"vfnet_d2.{name}").rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("old", MOVED)
def test_the_table_leads_from_what_is_gone_to_what_is_there(old: str) -> None:
    importlib.import_module(MOVED[old])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(old)


@pytest.mark.parametrize(
    "target", ["torch.optim.SGD", "vfnet_d2.modeling.meta_architecture.X", "VFNet"]
)
def test_other_paths_stay(target: str) -> None:
    assert current_target(target) == target


def test_targets_are_renamed_wherever_they_are() -> None:
    old, new = "vfnet_d2.data.dataset.load_dataset", "vfnet_d2.data.loading.load_dataset"
    cfg = OmegaConf.create(
        {
            "a": {"_target_": old, "names": old},  # a value may look like a path
            "b": [{"_target_": "torch.nn.ReLU", "inner": {"_target_": old}}, None],
            "c": "${a}",
            "d": "???",
        }
    )
    rename_targets(cfg)
    assert OmegaConf.to_container(cfg) == {
        "a": {"_target_": new, "names": old},
        "b": [{"_target_": "torch.nn.ReLU", "inner": {"_target_": new}}, None],
        "c": "${a}",
        "d": "???",
    }


def test_each_old_name_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    text = {"_target_": "vfnet_d2.engine.solver.get_param_groups"}
    with caplog.at_level(logging.WARNING, logger="vfnet_d2"):
        for _ in range(2):
            rename_targets(OmegaConf.create({"a": text, "b": text}))
    assert [record.getMessage() for record in caplog.records] == [
        "The config names vfnet_d2.engine.solver.get_param_groups, which has moved: write "
        "vfnet_d2.training.optimizers.get_param_groups instead"
    ]


def test_the_dump_of_a_run_of_the_old_modules_builds_its_model(tmp_path: Path) -> None:
    LazyConfig.save(
        LazyConfig.load(config_file("quick/vfnet_shapes", suffix=".py")), tmp_path / "a"
    )
    text = (tmp_path / "a").read_text()
    old = text.replace("modeling.dense.detectors", "modeling.meta_arch")
    old = old.replace("modeling.dense", "modeling").replace("training.optimizers", "engine.solver")
    (tmp_path / "config.yaml").write_text(old)
    assert "vfnet_d2.modeling.heads.vfnet_head.VFNetHead" in old
    assert isinstance(instantiate(load_lazy_config(str(tmp_path / "config.yaml")).model), VFNet)


def test_a_file_that_names_classes_by_their_old_paths(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(
        "from detectron2.config import LazyCall as L\n"
        "optimizer = L('vfnet_d2.engine.solver.get_param_groups')(model=None)"
    )
    target = load_lazy_config(str(path)).optimizer._target_
    assert target == "vfnet_d2.training.optimizers.get_param_groups"


def test_a_dump_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"train: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n")
    with pytest.raises(UserError, match="cannot be read as data"):
        load_lazy_config(str(path))
    assert not (tmp_path / "made").exists()
