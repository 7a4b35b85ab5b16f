"""A checkpoint that version 0.1.0 wrote; see tests/checkpoints."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tests.helpers.predicting import noise
from tests.helpers.reference import DATA
from vfnet_d2.checkpoint.describe import read_metadata
from vfnet_d2.checkpoint.files import read_file
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.checkpoint.new_classes import FineTuneCheckpointer
from vfnet_d2.finetune.config import starting_config
from vfnet_d2.inference.predictor import Predictor
from vfnet_d2.model_zoo import config_of

OLD = DATA / "checkpoints" / "v0_1_0.pth"


def test_it_is_of_the_first_schema() -> None:
    entry = read_file(OLD)[ENTRY]
    assert "schema_version" not in entry
    assert "SOLVER" not in entry["config"]


def test_it_tells_model_and_classes() -> None:
    metadata, state = read_metadata(OLD)
    assert metadata is not None
    assert metadata.class_names == ["cup", "knob", "yarn"]
    assert metadata.classifiers is metadata.num_classes_key is metadata.lazy_config is None
    cfg = config_of(metadata, OLD)
    assert (cfg.MODEL.FPN.OUT_CHANNELS, cfg.INPUT.MIN_SIZE_TEST) == (4, 192)
    assert len(state) == 163


def test_it_predicts_what_its_own_version_predicted() -> None:
    expected = np.load(OLD.with_name("v0_1_0_detections.npz"))
    predictor = Predictor(OLD, device="cpu")
    found = predictor(noise(160, 128), channel_order="RGB")
    assert predictor.class_names == ["cup", "knob", "yarn"]
    # About 30 layers of float32 between image and score, whose sums another CPU adds in another
    # order: 30 * 2**-24 = 2e-6 relative, times some 10 for the growth through the layers. Equal
    # scores may change places, so that each detection is looked for.
    pairs = torch.cdist(found.pred_boxes.tensor, torch.from_numpy(expected["boxes"]))
    other = found.pred_classes[:, None] != torch.from_numpy(expected["classes"])
    nearest = pairs.masked_fill(other, torch.inf).argmin(dim=1)
    scores = torch.from_numpy(expected["scores"])
    assert len(found) == len(scores) == 100
    # The last of them may change places with what was cut off at 100.
    torch.testing.assert_close(found.scores[:95], scores[nearest][:95], rtol=2e-5, atol=0)
    boxes = torch.from_numpy(expected["boxes"])[nearest]
    torch.testing.assert_close(found.pred_boxes.tensor[:95], boxes[:95], rtol=2e-5, atol=160 * 2e-5)


def test_a_fine_tuning_starts_from_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vfnet_d2"):
        cfg = starting_config(weights=str(OLD))
        cfg.MODEL.ONE_STAGE.NUM_CLASSES, cfg.MODEL.DEVICE = 2, "cpu"
        model = build_model(cfg)
        FineTuneCheckpointer(model, "", class_names=["a", "b"]).start_from(str(OLD))
    assert "does not say how it was trained" in caplog.text
    assert "these start afresh: head.cls_pred.weight, head.cls_pred.bias" in caplog.text
    state = read_file(OLD)["model"]
    assert torch.equal(model.head.box_pred.weight, state["head.box_pred.weight"])
