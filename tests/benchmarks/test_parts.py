"""Tests of benchmarks.parts: what it runs, not how long anything takes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import parts as benchmark
from tests.helpers.small_model import small_config, small_model
from vfnet_d2.modeling.dense.targets import check_targets


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small VFNet in evaluation mode."""
    return small_model("MODEL.ONE_STAGE.SCORE_THRESH", 0.0).eval()


def test_random_batches_are_valid_training_inputs_and_repeat() -> None:
    one = benchmark.random_batch(images=2, height=64, width=96, boxes=5, num_classes=3)
    other = benchmark.random_batch(images=2, height=64, width=96, boxes=5, num_classes=3)
    check_targets(one, num_classes=3)
    assert [tuple(item["image"].shape) for item in one] == [(3, 64, 96)] * 2
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["instances"].gt_boxes.tensor, b["instances"].gt_boxes.tensor)


def test_the_floor_convolves_on_the_grid_with_the_same_weights(model: nn.Module) -> None:
    floor = benchmark.floor_network(model)
    maps = [torch.randn(1, 64, 6, 5)]
    (out,) = floor.head.cls_star.forward_levels(maps, None)
    torch.testing.assert_close(out, F.conv2d(maps[0], model.head.cls_star.weight, padding=1))
    # and the model itself keeps its star convolutions
    assert type(model.head.cls_star).__name__ == "StarConv2d"


def test_what_is_timed_is_the_model_s_own_inference(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = benchmark.random_batch(images=1, height=64, width=96, boxes=0, num_classes=5)
    with torch.no_grad():
        expected = model(batch)[0]["instances"]
    seen = []
    detect = model.detections
    monkeypatch.setattr(model, "detections", lambda *args: seen.append(detect(*args)) or seen[-1])
    parts = benchmark.inference(model, batch)
    torch.testing.assert_close(seen[0][0].pred_boxes.tensor, expected.pred_boxes.tensor)
    assert set(parts) == {
        *("preprocessing", "backbone", "FPN", "head", "star convolution", "post-processing")
    }
    assert not model.backbone._forward_hooks and not model.head._forward_hooks
    assert not {"forward_levels", "forward_cells"} & set(vars(model.head.cls_star))


def test_what_is_timed_is_a_training_step() -> None:
    cfg = small_config()
    batch = benchmark.random_batch(images=1, height=64, width=64, boxes=2, num_classes=5)
    models = benchmark.with_floor(cfg)
    assert list(models) == ["model", "floor"]
    before = {name: p.detach().clone() for name, p in models["model"].named_parameters()}
    parts = benchmark.training_job(cfg, models["model"], batch)()
    assert all(not torch.equal(p, before[n]) for n, p in models["model"].named_parameters())
    assert {"matching", "losses", "backward", "optimizer"} < set(parts)
    assert "assign" not in vars(models["model"])


def test_post_processing_gets_the_candidates_it_is_said_to(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "score_thresh", 0.05)
    seen = []
    detect = model.detections
    monkeypatch.setattr(model, "detections", lambda *args: seen.append(args[0]) or detect(*args))
    benchmark.postprocessing_job(model, candidates=2000, size=(256, 256))()
    passing = sum(int((x.sigmoid() > 0.05).sum()) for x in seen[0].logits)
    # a binomial count of 6,820 pairs
    assert passing == pytest.approx(2000, abs=4 * (6820 * 0.29 * 0.71) ** 0.5)


def test_matching_runs_on_two_images_with_their_boxes(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    matcher = model.matcher
    monkeypatch.setattr(
        model, "matcher", lambda *args, **sizes: seen.append(args[1]) or matcher(*args, **sizes)
    )
    benchmark.matching_job(model, boxes=7, size=(100, 130))()
    assert [len(target) for target in seen[0]] == [7, 7]


@pytest.mark.parametrize("star_conv", ["gather", "grid_sample"])
def test_as_many_candidates_pass_as_asked_for(star_conv: str) -> None:
    model = small_model("MODEL.ONE_STAGE.DEFORM_CONV", star_conv)
    batch = benchmark.random_batch(images=2, height=64, width=96, boxes=0, num_classes=5)
    benchmark.let_pass(model, batch, candidates=37)
    logits: list[torch.Tensor] = []
    model.head.cls_pred.register_forward_hook(lambda *args: logits.append(args[2].flatten()))
    with torch.no_grad():
        model.eval()(batch)
    passing = (torch.cat(logits).sigmoid() > model.score_thresh).sum()
    assert abs(passing - 37) <= 1  # the last one lies on the threshold
