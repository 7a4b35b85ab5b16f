"""Tests of vfnet_d2.checkpoint.convert.rename."""

import torch

from vfnet_d2.checkpoint.convert.pairs import MMDET, OURS, Pair
from vfnet_d2.checkpoint.convert.rename import KeyReport, convert_state, relevant, without_layer

PAIRS = [
    Pair("a.w", "x.w"),
    Pair("a.n", "x.n", optional=True),
    # Rows in another order, as with classifiers of several anchors.
    Pair("c", "y", to_ours=lambda t: t[[2, 0, 1]], to_theirs=lambda t: t[[1, 2, 0]]),
]


def test_every_name_is_accounted_for() -> None:
    state = {"a.w": torch.zeros(1), "b": torch.ones(1)}
    converted, report = convert_state(
        state, PAIRS, source=MMDET, target=OURS, ignored=[("ema_b", "why")]
    )
    assert list(converted) == ["x.w"]
    assert report == KeyReport([("a.w", "x.w")], [("ema_b", "why")], ["c"], ["b"])


def test_an_optional_tensor_is_mapped_where_there_is_one() -> None:
    converted, report = convert_state(
        {"a.n": torch.tensor(3)}, PAIRS[:2], source=MMDET, target=OURS
    )
    assert converted["x.n"] == 3
    assert report.missing == ["a.w"]


def test_a_transform_goes_there_and_back() -> None:
    tensor = torch.arange(3.0)
    ours, _ = convert_state({"c": tensor}, PAIRS, source=MMDET, target=OURS)
    theirs, _ = convert_state(ours, PAIRS, source=OURS, target=MMDET)
    assert ours["y"].tolist() == [2, 0, 1]
    assert theirs["c"].equal(tensor)


def test_from_ours_to_ours_nothing_is_transformed() -> None:
    converted, _ = convert_state({"y": torch.arange(3.0)}, PAIRS, source=OURS, target=OURS)
    assert converted["y"].tolist() == [0, 1, 2]


def test_prefixes_of_wrappers_go() -> None:
    state = {"module.backbone.a": torch.zeros(1), "module.student.neck.b": torch.ones(1)}
    assert list(relevant(state)[0]) == ["backbone.a", "neck.b"]


def test_what_belongs_to_no_network_is_set_aside_with_a_reason() -> None:
    names = ["ema_backbone_conv1_weight", "teacher.backbone.a", "data_preprocessor.mean"]
    kept, ignored = relevant({name: torch.zeros(1) for name in [*names, "backbone.a"]})
    assert list(kept) == ["backbone.a"]
    assert [name for name, _ in ignored] == names
    assert [why.split()[0] for _, why in ignored] == ["EMA", "weights", "preprocessing,"]


def test_a_layer_is_set_aside_whole_and_alone() -> None:
    names = ["head.cls.weight", "head.cls.bias", "head.cls_star.weight"]
    kept, dropped = without_layer({name: torch.zeros(1) for name in names}, "head.cls")
    assert list(kept) == ["head.cls_star.weight"]
    assert [name for name, _ in dropped] == names[:2]


def test_counts() -> None:
    report = KeyReport([("a", "b")], [("c", "old"), ("d", "old"), ("e", "new")], ["f"], [])
    assert report.counts == "1 mapped, 3 ignored (2 old; 1 new), 1 missing, 0 left over"
    assert not report.complete


def test_the_text_has_a_line_for_each_name() -> None:
    lines = KeyReport([("a", "b")], [("c", "old")], ["f"], ["g"]).text().splitlines()
    assert lines[1:] == ["missing: f", "left over: g", "ignored: c  (old)", "mapped: a -> b"]
