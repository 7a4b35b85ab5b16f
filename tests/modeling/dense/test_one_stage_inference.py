"""Tests of the inference half of vfnet_d2.modeling.dense.one_stage."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.plain import PLAIN_WAYS, apply_norms
from tests.helpers.float64 import in_float64
from tests.helpers.small_model import NUM_CLASSES, random_input, small_model
from vfnet_d2.modeling.dense import postprocess


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_detects_in_single_precision(dtype: torch.dtype) -> None:
    model = small_model("MODEL.ONE_STAGE.SCORE_THRESH", 0.0).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        (result,) = model([random_input(96, 128, 0)])
    assert result["instances"].pred_boxes.tensor.dtype == torch.float32
    assert result["instances"].scores.dtype == torch.float32


def test_detections_come_in_the_size_asked_for() -> None:
    model = small_model("MODEL.ONE_STAGE.SCORE_THRESH", 0.0).eval()
    item = random_input(96, 128, 0)
    with torch.no_grad():
        plain, scaled = (
            model([item | {"height": 96 * factor, "width": 128 * factor}])[0]["instances"]
            for factor in (1, 2)
        )
    assert len(plain) == 100 and scaled.image_size == (192, 256)
    torch.testing.assert_close(scaled.pred_boxes.tensor, 2 * plain.pred_boxes.tensor)
    assert (plain.scores.diff() <= 0).all()


def test_detections_per_image_follow_detectron2_s_key() -> None:
    model = small_model(
        *("MODEL.ONE_STAGE.SCORE_THRESH", 0.0, "TEST.DETECTIONS_PER_IMAGE", 7)
    ).eval()
    with torch.no_grad():
        results = model([random_input(96, 128, 0), random_input(64, 64, 0)])
    assert [len(result["instances"]) for result in results] == [7, 7]


@pytest.mark.parametrize(("unit", "per_level"), [("pairs", 1), ("points", NUM_CLASSES)])
def test_candidates_are_counted_by_the_chosen_unit(
    unit: str, per_level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(
        *("MODEL.ONE_STAGE.CANDIDATE_UNIT", unit, "MODEL.ONE_STAGE.TOPK_CANDIDATES", 1),
        *("MODEL.ONE_STAGE.SCORE_THRESH", 0.0),
    ).eval()
    counts: list[int] = []

    def spy(*args: Any, **kwargs: Any) -> Any:
        result = decode(*args, **kwargs)
        counts.append(len(result[0]))
        return result

    decode: Callable[..., Any] = postprocess.decode_level
    monkeypatch.setattr(postprocess, "decode_level", spy)
    with torch.no_grad():
        model([random_input(96, 128, 0)])
    assert counts == [per_level] * 5


def test_detection_needs_no_ground_truth() -> None:
    with torch.no_grad():
        (result,) = small_model().eval()([{"image": torch.zeros(3, 64, 64)}])
    assert result["instances"].image_size == (64, 64)


def passes_of_batch_norm(model: nn.Module) -> int:
    with torch.no_grad(), torch.profiler.profile() as profile:
        model([random_input(96, 128, 0)])
    return sum(e.count for e in profile.key_averages() if e.key == "aten::batch_norm")


def test_norms_are_folded() -> None:
    model = small_model("MODEL.RESNETS.NORM", "FixedStatsBN").eval()
    assert passes_of_batch_norm(model) == 0
    apply_norms(model)
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    assert passes_of_batch_norm(model) == norms > 0


def test_maps_lie_in_memory_as_the_device_prefers() -> None:
    model = small_model().eval()
    seen = []
    model.backbone.bottom_up.res3.register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        model([random_input(96, 128, 0)])
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def fixed_model() -> nn.Module:
    """A detector with gathered stars, and statistics that are not those of a new layer."""
    model = small_model(
        *("MODEL.RESNETS.NORM", "FixedStatsBN", "MODEL.ONE_STAGE.SCORE_THRESH", 0.0),
        *("MODEL.ONE_STAGE.DEFORM_CONV", "gather"),
    ).eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            generator = torch.Generator().manual_seed(part.num_features)
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    return model


def test_fast_ways_find_the_same() -> None:
    """Each of them off, all off and all on."""
    results = []
    for changes in (PLAIN_WAYS, (), *((change,) for change in PLAIN_WAYS)):
        model = fixed_model()
        for change in changes:
            change(model)
        in_float64(model)
        with torch.no_grad():
            results.append(model([random_input(96, 128, 0)])[0]["instances"])
    plain = results[0]
    assert len(plain) == 100
    for found in results:
        torch.testing.assert_close(found.scores, plain.scores)
        torch.testing.assert_close(found.pred_boxes.tensor, plain.pred_boxes.tensor)
