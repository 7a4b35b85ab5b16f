"""Tests of vfnet_d2.config."""

import inspect
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from detectron2.config import CfgNode, configurable, get_cfg
from detectron2.modeling import META_ARCH_REGISTRY, build_model

from tests.helpers.log_lines import log_lines
from tests.helpers.reference import ROOT
from tests.helpers.small_model import small_config
from vfnet_d2.config import (
    RETIRED_KEYS,
    add_vfnet_config,
    merge_yaml_file,
    without_retired_keys,
)
from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY, CLS_LOSS_REGISTRY
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.parts import PartKind, Parts
from vfnet_d2.modeling.suppression import SUPPRESSION_REGISTRY
from vfnet_d2.utils.errors import UserError

KINDS = {
    "HEAD": HEAD_REGISTRY,
    "MATCHER": MATCHER_REGISTRY,
    "CLS_LOSS": CLS_LOSS_REGISTRY,
    "BOX_LOSS": BOX_LOSS_REGISTRY,
    "SUPPRESSION": SUPPRESSION_REGISTRY,
}
# Where the detector's remaining arguments live in Detectron2's own config.
DETECTRON2_KEYS = {"max_detections_per_image", "pixel_mean", "pixel_std", "input_format"}
# The suppression is built from a node, like the parts; None stands for it in the signature.
NODES = {"suppression"}


@pytest.fixture
def cfg() -> CfgNode:
    """Detectron2's config with our keys."""
    return add_vfnet_config(get_cfg())


def defaults(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.items()
    return {k: p.default for k, p in parameters if p.default is not inspect.Parameter.empty}


def test_the_detector_s_defaults_are_its_signature_s(cfg: CfgNode) -> None:
    expected = defaults(OneStageDetector.__init__)
    assert expected.keys() > DETECTRON2_KEYS
    for name in expected.keys() - DETECTRON2_KEYS - NODES:
        assert cfg.MODEL.ONE_STAGE[name.upper()] == expected[name], name
    for name in DETECTRON2_KEYS:
        assert name.upper() not in cfg.MODEL.ONE_STAGE


@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_part_has_its_signature_s_defaults(kind: str, cfg: CfgNode) -> None:
    node = cfg.MODEL.ONE_STAGE[kind]
    registered = dict(KINDS[kind])
    assert node.keys() == {"NAME", *registered}
    assert node.NAME in registered
    for name, cls in registered.items():
        # as JSON, which like YAML has lists alone
        found = {k.lower(): v for k, v in node[name].items()}
        assert json.dumps(found, sort_keys=True) == json.dumps(defaults(cls), sort_keys=True), name


def test_the_paper_s_numbers_are_the_defaults(cfg: CfgNode) -> None:
    node = cfg.MODEL.ONE_STAGE
    assert dict(node.CLS_LOSS.VarifocalLoss) == {
        "ALPHA": 0.75,
        "GAMMA": 2.0,
        "IOU_WEIGHTED": True,
    }
    assert dict(node.CLS_LOSS.FocalLoss) == {"ALPHA": 0.25, "GAMMA": 2.0}
    assert (node.SCORE_THRESH, node.NMS_THRESH, node.TOPK_CANDIDATES) == (0.05, 0.6, 1000)
    assert tuple(node.BOX_LOSS_WEIGHTS) == (1.5, 2.0)
    assert node.MATCHER.ATSSMatcher.TOPK == 9
    assert (node.HEAD.NAME, node.MATCHER.NAME) == ("VFNetHead", "ATSSMatcher")
    assert (node.CLS_LOSS.NAME, node.BOX_LOSS.NAME) == ("VarifocalLoss", "GIoULoss")
    assert (node.HEAD.VFNetHead.CHANNELS, node.HEAD.VFNetHead.NUM_CONVS) == (256, 3)


def test_configs_do_not_share_their_nodes(cfg: CfgNode) -> None:
    cfg.MODEL.ONE_STAGE.NMS_THRESH = 0.1
    cfg.MODEL.ONE_STAGE.HEAD.VFNetHead.CHANNELS = 8
    other = add_vfnet_config(get_cfg()).MODEL.ONE_STAGE
    assert (other.NMS_THRESH, other.HEAD.VFNetHead.CHANNELS) == (0.6, 256)


def test_a_misspelt_key_is_refused(cfg: CfgNode) -> None:
    with pytest.raises(AssertionError, match="NMS_TRESH"):
        cfg.merge_from_list(["MODEL.ONE_STAGE.NMS_TRESH", 0.5])


def test_importing_the_package_leaves_detectron2_s_defaults_alone() -> None:
    program = (
        "from detectron2.config import get_cfg\n"
        "before = get_cfg().dump()\n"
        "import vfnet_d2\n"
        "vfnet_d2.add_vfnet_config(get_cfg())\n"
        "assert get_cfg().dump() == before\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def registered() -> Iterator[Callable[[type], type]]:
    """Registers detectors until the test ends."""
    added: list[str] = []

    def register(cls: type) -> type:
        META_ARCH_REGISTRY.register(cls)
        added.append(cls.__name__)
        return cls

    yield register
    for name in added:
        del META_ARCH_REGISTRY._obj_map[name]


class Sharpened(OneStageDetector):
    """Has a setting, and a matcher more than the template."""

    PARTS: ClassVar[Parts] = {
        **OneStageDetector.PARTS,
        "second_matcher": PartKind(MATCHER_REGISTRY, "FoveaMatcher"),
    }

    @configurable
    def __init__(self, *, second_matcher: Any, sharpness: float = 2.5, **parts: Any) -> None:
        super().__init__(**parts)
        self.second_matcher = second_matcher
        self.sharpness = sharpness


def test_arguments_of_a_subclass_are_keys_too(registered: Callable[[type], type]) -> None:
    registered(Sharpened)
    cfg = small_config("MODEL.META_ARCHITECTURE", "Sharpened")
    assert cfg.MODEL.ONE_STAGE.SHARPNESS == 2.5
    assert cfg.MODEL.ONE_STAGE.SECOND_MATCHER.NAME == "FoveaMatcher"
    cfg.merge_from_list(["MODEL.ONE_STAGE.SHARPNESS", 4.0, "MODEL.ONE_STAGE.NMS_THRESH", 0.3])
    cfg.merge_from_list(["MODEL.ONE_STAGE.SECOND_MATCHER.NAME", "ATSSMatcher"])
    cfg.merge_from_list(["MODEL.ONE_STAGE.SECOND_MATCHER.ATSSMatcher.TOPK", 3])
    model = build_model(cfg)
    assert (model.sharpness, model.second_matcher.topk) == (4.0, 3)
    assert model.suppression.iou_thresh == 0.3


def test_a_detector_registered_after_its_config_was_made_runs_on_its_defaults(
    registered: Callable[[type], type],
) -> None:
    class Late(OneStageDetector):
        """Its key came too late."""

        @configurable
        def __init__(self, *, sharpness: float = 2.5, **parts: Any) -> None:
            super().__init__(**parts)
            self.sharpness = sharpness

    cfg = small_config("MODEL.META_ARCHITECTURE", "Late")
    registered(Late)
    assert build_model(cfg).sharpness == 2.5


@pytest.mark.parametrize("default", [0.5, 1, None])
def test_one_key_with_two_defaults_names_both_classes(
    default: Any, registered: Callable[[type], type]
) -> None:
    class Other(OneStageDetector):
        """Means another thing by the same word."""

        def __init__(self, *, nms_thresh: Any = default, **parts: Any) -> None:
            super().__init__(nms_thresh=nms_thresh, **parts)

    registered(Other)
    words = r"OneStageDetector and Other both have .*'nms_thresh'.* MODEL\.ONE_STAGE\.NMS_THRESH"
    with pytest.raises(ValueError, match=rf"{words}.*: 0\.6 and {default}"):
        add_vfnet_config(get_cfg())


def retired(key: str, value: Any) -> CfgNode:
    """A config with one key."""
    root = node = CfgNode()
    *path, name = key.split(".")
    for step in path:
        node[step] = CfgNode()
        node = node[step]
    node[name] = value
    return root


@pytest.mark.parametrize("key", RETIRED_KEYS)
def test_retired_keys_are_dropped_from_old_configs(key: str, cfg: CfgNode) -> None:
    old = retired(key, RETIRED_KEYS[key])
    with log_lines("vfnet_d2.config", level=logging.INFO) as lines:
        new = without_retired_keys(old)
    assert lines == []  # it was the default: nothing to tell
    before = cfg.dump()
    cfg.merge_from_other_cfg(new)
    assert cfg.dump() == before
    assert old.dump() == retired(key, RETIRED_KEYS[key]).dump()  # the argument stays


def test_a_retired_key_that_was_set_is_told() -> None:
    key = "MODEL.ONE_STAGE.FOLD_NORMS"
    with log_lines("vfnet_d2.config", level=logging.WARNING) as lines:
        without_retired_keys(retired(key, False))
    assert len(lines) == 1 and key in lines[0] and "False" in lines[0]


def test_a_retired_value_becomes_the_one_that_does_the_same() -> None:
    found = without_retired_keys(retired("MODEL.ONE_STAGE.CANDIDATE_UNIT", "pairs_of_all"))
    assert found.MODEL.ONE_STAGE.CANDIDATE_UNIT == "pairs"


def test_a_user_s_file_with_a_retired_key_is_read_with_a_warning(
    cfg: CfgNode, tmp_path: Path
) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("MODEL: {ONE_STAGE: {FOLD_NORMS: False, NMS_THRESH: 0.3}}\nVERSION: 2\n")
    with log_lines("yacs.config", level=logging.WARNING) as lines:
        cfg.clone().merge_from_file(str(file))
        cfg.merge_from_list(["MODEL.ONE_STAGE.MEMORY_FORMAT", "contiguous"])
    assert [line.split()[-1] for line in lines] == [
        "MODEL.ONE_STAGE.FOLD_NORMS",
        "MODEL.ONE_STAGE.MEMORY_FORMAT",
    ]


def test_no_key_is_retired_that_is_there(cfg: CfgNode) -> None:
    for key in RETIRED_KEYS:
        node = cfg
        for step in key.split(".")[:-1]:
            node = node[step]
        assert key.split(".")[-1] not in node


def test_no_baseline_starts_from_vfnet() -> None:
    for file in (ROOT / "configs" / "baselines").glob("*.yaml"):
        while base := yaml.safe_load(file.read_text()).get("_BASE_"):
            file = file.parent / base
            assert "VFNet" not in file.name
            assert "VFNet" not in file.read_text().split("\nMODEL:")[1]


@pytest.mark.parametrize("in_the_base", [False, True])
def test_a_yaml_file_runs_no_code(in_the_base: bool, tmp_path: Path) -> None:
    harmful = f"OUTPUT_DIR: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n"
    (tmp_path / "base.yaml").write_text(harmful)
    (tmp_path / "user.yaml").write_text("_BASE_: base.yaml\n")
    path = tmp_path / ("user.yaml" if in_the_base else "base.yaml")
    with pytest.raises(UserError, match=rf"config {path} has a YAML tag that would run code"):
        merge_yaml_file(add_vfnet_config(get_cfg()), str(path))
    assert not (tmp_path / "made").exists()


def test_a_damaged_yaml_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("MODEL: [1, 2\n")
    with pytest.raises(UserError, match=rf"config {path} is not YAML"):
        merge_yaml_file(add_vfnet_config(get_cfg()), str(path))


def test_no_part_of_the_package_reads_yaml_unsafely() -> None:
    # BaseLoader makes strings of everything.
    unsafe = re.compile(
        r"merge_from_file\((?!path, allow_unsafe=False)|unsafe_load|"
        r"yaml\.load\((?!.*Loader=yaml\.BaseLoader\))"
    )
    root = Path(__file__).parents[1]
    files = [
        *(root / "vfnet_d2").rglob("*.py"),
        *(root / "tools").glob("*.py"),
        root / "train_net.py",
    ]
    found = [
        f"{file.name}: {line}"
        for file in files
        for line in file.read_text().splitlines()
        if unsafe.search(line)
    ]
    assert found == []


def test_the_keys_of_the_readme_exist_with_their_defaults() -> None:
    text = (
        (ROOT / "README.md").read_text().split("## Config keys")[1].split("## What is verified")[0]
    )
    model, training = text.split("How a training runs")
    cfg = add_vfnet_config(get_cfg())
    rows = []
    for part, node in ((model, cfg.MODEL.ONE_STAGE), (training, cfg.TRAINING)):
        for names in re.findall(r"^\| (`[A-Z][^|]*) \|", part, re.MULTILINE):
            first, *others = re.findall(r"`([\w.]+)`", names)
            # "STAR", "REFINEMENT": the second name stands below the first one's node
            parent = first.rpartition(".")[0]
            rows += [
                (node, first),
                *((node, x if "." in x or not parent else f"{parent}.{x}") for x in others),
            ]
    assert len(rows) > 25
    for node, key in rows:
        *path, name = key.split(".")
        for part in path:
            node = node[part]
        assert name in node, key
