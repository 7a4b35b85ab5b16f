"""Tests of vfnet_d2.modeling.dense.box_coders."""

import math

import pytest
import torch

from vfnet_d2.modeling.dense.box_coders import (
    BOX_CODER_REGISTRY,
    CentreSizeDeltas,
    CornerOffsets,
    LinearDistances,
    LogDistances,
)

# an anchor of side 40 around (20, 20), and a box whose sides lie 10, 15, 60 and 5 from there
ANCHOR = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
BOX = torch.tensor([[10.0, 5.0, 80.0, 25.0]])


def test_linear_distances_are_in_units_of_the_anchor_s_side() -> None:
    deltas = LinearDistances().get_deltas(ANCHOR, BOX)
    assert deltas[0].tolist() == pytest.approx([10 / 40, 15 / 40, 60 / 40, 5 / 40])


def test_log_distances_are_their_logarithms() -> None:
    deltas = LogDistances().get_deltas(ANCHOR, BOX)
    expected = [math.log(d / 40) for d in (10, 15, 60, 5)]
    assert deltas[0].tolist() == pytest.approx(expected)


def test_log_distances_are_kept_within_their_limit() -> None:
    # 60 / 40 and 5 / 40 of the sides, between 1 / 4 and 4; the left side lies right of the centre
    box = torch.tensor([[30.0, -380.0, 80.0, 25.0]])
    deltas = LogDistances(limit=4.0).get_deltas(ANCHOR, box)
    assert deltas[0].tolist() == pytest.approx([math.log(d) for d in (1 / 4, 4, 60 / 40, 1 / 4)])


def test_centre_size_deltas_by_hand() -> None:
    # the box's centre is (45, 15), its sides 70 and 20
    deltas = CentreSizeDeltas(weights=(10.0, 10.0, 5.0, 5.0)).get_deltas(ANCHOR, BOX)
    expected = [10 * 25 / 40, 10 * -5 / 40, 5 * math.log(70 / 40), 5 * math.log(20 / 40)]
    assert deltas[0].tolist() == pytest.approx(expected)


def test_corner_offsets_are_relative_to_the_anchor_s_centre() -> None:
    deltas = CornerOffsets().get_deltas(ANCHOR, BOX)
    assert deltas[0].tolist() == pytest.approx([-10 / 40, -15 / 40, 60 / 40, 5 / 40])


def test_corner_offsets_encode_a_box_beside_the_anchor() -> None:
    # of an anchor 20 wide and 10 high around (10, 5)
    anchor = torch.tensor([[0.0, 0.0, 20.0, 10.0]])
    deltas = CornerOffsets().get_deltas(anchor, torch.tensor([[30.0, 0.0, 40.0, 25.0]]))
    assert deltas[0].tolist() == pytest.approx([20 / 20, -5 / 10, 30 / 20, 20 / 10])


@pytest.mark.parametrize("name", [name for name, _ in BOX_CODER_REGISTRY])
def test_decoding_undoes_encoding(name: str) -> None:
    coder = BOX_CODER_REGISTRY.get(name)()
    decoded = coder.apply_deltas(coder.get_deltas(ANCHOR, BOX), ANCHOR)
    torch.testing.assert_close(decoded, BOX)
