"""Tests of vfnet_d2.modeling.dense.box_coders."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.reference import DATA
from vfnet_d2.modeling.dense.box_coders import (
    BOX_CODER_REGISTRY,
    CentreSizeDeltas,
    ClampedShiftDeltas,
    CornerOffsets,
    LinearDistances,
    LogDistances,
)

FLOAT32_ULP = torch.finfo(torch.float32).eps
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


@pytest.fixture(scope="module")
def decoded() -> dict[str, torch.Tensor]:
    """The reference's decoding: deltas, boxes, a cotangent and the gradient of the deltas."""
    with np.load(DATA / "yolof_components.npz") as arrays:
        names = [name for name in arrays.files if name.startswith(("decode.", "anchors_"))]
        return {name.rpartition(".")[2]: torch.from_numpy(arrays[name]) for name in names}


def test_clamped_shifts_decode_as_stored(decoded: dict[str, torch.Tensor]) -> None:
    """Centres move 32 pixels at most, and sides grow by ln(1000 / 16) at most."""
    deltas = decoded["deltas"].requires_grad_()
    boxes = ClampedShiftDeltas().apply_deltas(deltas, decoded["anchors_3x4"])
    # A coordinate is the sum of a few float32 numbers of at most the largest one here.
    largest = decoded["boxes"].abs().amax(dim=1, keepdim=True)
    assert ((boxes - decoded["boxes"]).abs() <= 2 * FLOAT32_ULP * largest).all()
    (boxes * decoded["cotangent"]).sum().backward()
    torch.testing.assert_close(deltas.grad, decoded["grad_deltas"], rtol=4 * FLOAT32_ULP, atol=1e-4)


def test_clamped_shifts_by_hand() -> None:
    coder = ClampedShiftDeltas(weights=(2.0, 2.0, 1.0, 1.0), max_shift=8.0)
    deltas = torch.tensor([[0.2, -0.2, 0.0, 0.0], [9.0, -9.0, -20.0, 20.0]])
    small, large = coder.apply_deltas(deltas, ANCHOR.repeat(2, 1)).tolist()
    assert small == pytest.approx([4.0, -4.0, 44.0, 36.0])
    height = 40 * 1000 / 16
    width = 40 * math.exp(-20)
    assert large == pytest.approx(
        [28 - width / 2, 12 - height / 2, 28 + width / 2, 12 + height / 2], rel=1e-6
    )


def test_clamped_shifts_keep_double_precision() -> None:
    boxes = ClampedShiftDeltas().apply_deltas(torch.zeros(1, 4).double(), ANCHOR.double())
    assert boxes.dtype == torch.float64


def test_a_shift_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_shift is 0"):
        ClampedShiftDeltas(max_shift=0)


@pytest.mark.parametrize("name", [name for name, _ in BOX_CODER_REGISTRY])
def test_decoding_undoes_encoding(name: str) -> None:
    coder = BOX_CODER_REGISTRY.get(name)()
    decoded = coder.apply_deltas(coder.get_deltas(ANCHOR, BOX), ANCHOR)
    torch.testing.assert_close(decoded, BOX)
