"""Tests of vfnet_d2.config."""

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from detectron2.config import CfgNode, get_cfg

from tests.helpers.reference import ROOT
from vfnet_d2.config import add_vfnet_config
from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY, CLS_LOSS_REGISTRY
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.suppression import SUPPRESSION_REGISTRY

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
