"""Tests of vfnet_d2.checkpoint.convert.pairs."""

from vfnet_d2.checkpoint.convert.pairs import Pair, batch_norm, below, conv, norm


def test_a_convolution_has_what_it_is_said_to_have() -> None:
    assert conv("a", "b") == [Pair("a.weight", "b.weight")]
    assert conv("a", "b", bias=True)[1] == Pair("a.bias", "b.bias")
    assert [pair.theirs for pair in conv("a", "b", deformable=True)] == [
        "a.weight",
        "a.conv_offset.weight",
        "a.conv_offset.bias",
    ]


def test_a_batch_norm_has_statistics_and_an_optional_counter() -> None:
    optional = {pair.ours: pair.optional for pair in batch_norm("a", "b")}
    assert optional == {
        "b.weight": False,
        "b.bias": False,
        "b.running_mean": False,
        "b.running_var": False,
        "b.num_batches_tracked": True,
    }


def test_prefixes_are_put_before_both_names() -> None:
    [pair] = below(conv("a", "b"), theirs="x.", ours="y.z.")
    assert (pair.theirs, pair.ours) == ("x.a.weight", "y.z.b.weight")


def test_a_norm_without_statistics() -> None:
    assert norm("a", "b") == [Pair("a.weight", "b.weight"), Pair("a.bias", "b.bias")]
