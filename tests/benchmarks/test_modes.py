"""Tests of benchmarks.modes: what a mode does, not how long anything takes."""

import pytest
import torch

from benchmarks import modes as benchmark_modes
from benchmarks.modes import (
    INFERENCE,
    TRAINING,
    Mode,
    build_for,
    compare_modes,
    mode_job,
    parse_mode,
    peak_operations,
    precision,
)
from benchmarks.parts import random_batch
from tests.helpers.small_model import small_config
from vfnet_d2.modeling.complexity import count_flops

CPU = torch.device("cpu")
FP32 = Mode(torch.float32, tf32=False, channels_last=False, compiled=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fp32", FP32),
        ("channels-last", FP32._replace(channels_last=True)),
        ("bf16+compile", FP32._replace(dtype=torch.bfloat16, compiled=True)),
        ("channels-last+fp16", FP32._replace(dtype=torch.float16, channels_last=True)),
        ("tf32", FP32._replace(tf32=True)),
    ],
)
def test_words_make_a_mode(text: str, expected: Mode) -> None:
    assert parse_mode(text, "cuda") == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bf16+nhwc", "unknown word 'nhwc'; join some of fp32, .*channels-last"),
        ("bf16+fp32", "two precisions: bf16 and fp32; keep one"),
        ("tf32", "only NVIDIA GPUs have TF32; the device is cpu"),
    ],
)
def test_a_mode_that_cannot_be_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_mode(text, "cpu")


def test_precision_holds_inside_only() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with precision(parse_mode("bf16", "cpu"), CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert not torch.backends.cudnn.allow_tf32
    with precision(parse_mode("tf32", "cuda"), CPU):
        assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def lies_channels_last(model: torch.nn.Module) -> bool:
    """Whether the maps of the model's backbone do."""
    seen = []
    model.backbone.bottom_up.res3.register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        model.eval()([{"image": torch.zeros(3, 64, 96)}])
    return seen[0].is_contiguous(memory_format=torch.channels_last)


def test_memory_format_is_the_mode_s() -> None:
    plain = build_for(FP32, small_config())
    assert not lies_channels_last(plain)
    model = build_for(parse_mode("channels-last", "cpu"), small_config())
    assert lies_channels_last(model)
    assert model.head.cls_pred.weight.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("text", "parts"), [("fp32", []), ("compile", ["FPN", "VFNetHead"])])
def test_backbone_and_head_are_compiled_where_asked_for(
    text: str, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__)
    )
    batch = random_batch(images=1, height=64, width=64, boxes=2, num_classes=5)
    mode_job(INFERENCE, parse_mode(text, "cpu"), small_config(), batch)
    assert compiled == parts


def test_inference_has_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = benchmark_modes.build_for
    monkeypatch.setattr(
        benchmark_modes, "build_for", lambda *args: built.append(build(*args)) or built[-1]
    )
    monkeypatch.setattr(benchmark_modes, "CANDIDATES", 30)
    batch = random_batch(images=2, height=64, width=64, boxes=0, num_classes=5)
    mode_job(INFERENCE, FP32, small_config(), batch)
    logits: list[torch.Tensor] = []
    built[0].head.cls_pred.register_forward_hook(lambda *args: logits.append(args[2].flatten()))
    with torch.no_grad():
        built[0](batch)
    assert abs((torch.cat(logits).sigmoid() > built[0].score_thresh).sum() - 60) <= 1


def test_a_job_is_inference_or_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = benchmark_modes.build_for
    monkeypatch.setattr(
        benchmark_modes, "build_for", lambda *args: built.append(build(*args)) or built[-1]
    )
    cfg = small_config()
    batch = random_batch(images=1, height=64, width=64, boxes=2, num_classes=5)
    infer, train = (mode_job(what, FP32, cfg, batch) for what in (INFERENCE, TRAINING))
    before = [[p.detach().clone() for p in model.parameters()] for model in built]
    assert set(infer()) == set(train()) == {"all"}
    same = [
        all(torch.equal(p, old) for p, old in zip(model.parameters(), saved, strict=True))
        for model, saved in zip(built, before, strict=True)
    ]
    assert same == [True, False]
    assert [model.training for model in built] == [False, True]


def test_rates_follow_from_times(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = small_config()
    seconds = {INFERENCE: 0.5, TRAINING: 2.0}
    monkeypatch.setattr(
        benchmark_modes, "mode_job", lambda what, *args: lambda: {"all": seconds[what]}
    )
    monkeypatch.setattr(benchmark_modes, "peak_operations", lambda *args, **kwargs: 1e9)
    batch = random_batch(images=3, height=60, width=64, boxes=1, num_classes=5)
    infer, train = compare_modes({"fp32": FP32}, cfg, batch, repeats=2)
    operations = 3 * count_flops(build_for(FP32, cfg), 64, 64)
    assert (infer.what, infer.mode, infer.images) == (INFERENCE, "fp32", 6.0)
    assert infer.of_peak == pytest.approx(operations / 0.5 / 1e9)
    assert train.of_peak == pytest.approx(3 * operations / 2 / 1e9)
    assert infer.memory is None and infer.samples == 2


def test_the_peak_counts_the_operations_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        benchmark_modes.Stopwatch, "mark", lambda watch, name: watch.parts.update({name: 0.25})
    )
    assert peak_operations(FP32, CPU, seconds=0.01) == 2048**3 / 0.25
