"""Tests of vfnet_d2.augmentation.random_shift."""

import json
from typing import Any

import numpy as np
import pytest
from detectron2.data.transforms import AugInput, NoOpTransform

from tests.helpers.reference import DATA
from vfnet_d2.augmentation.random_shift import RandomShift, ShiftTransform


def stored_cases() -> list[dict[str, Any]]:
    with np.load(DATA / "yolof_components.npz") as arrays:
        return json.loads(str(arrays["meta_json"]))["shift"]


def draws(monkeypatch: pytest.MonkeyPatch, uniform: float, shift: list[int]) -> None:
    monkeypatch.setattr(np.random, "uniform", lambda: uniform)
    monkeypatch.setattr(np.random, "randint", lambda low, high, size: np.array(shift))


@pytest.mark.parametrize("case", range(len(stored_cases())))
def test_stored_draws(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference's result for given draws: boxes, the labels that stay, and pixels of 0."""
    stored = stored_cases()[case]
    height, width = stored["image_hw"]
    draws(monkeypatch, stored["uniform"], stored["shift_x_y"])
    image = np.full((height, width, 3), 7, np.uint8)
    boxes = np.array(stored["boxes"], np.float64).reshape(-1, 4)
    seen = AugInput(image, boxes=boxes)
    RandomShift()(seen)
    sides = seen.boxes[:, 2:] - seen.boxes[:, :2]
    stays = (sides > 0).all(axis=1)
    assert np.flatnonzero(stays).tolist() == stored["labels_out"]
    np.testing.assert_allclose(seen.boxes[stays], np.reshape(stored["boxes_out"], (-1, 4)))
    assert (seen.image[..., 0] == 0).sum() == stored["zero_pixels"]


def test_pixels_by_hand() -> None:
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    right_up = ShiftTransform(1, -1, 3, 4).apply_image(image)
    assert right_up.tolist() == [[0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]
    left_down = ShiftTransform(-2, 1, 3, 4).apply_image(image)
    assert left_down.tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]]
    assert not ShiftTransform(4, 0, 3, 4).apply_image(image).any()
    assert not ShiftTransform(0, -7, 3, 4).apply_image(image).any()


def test_a_box_at_the_border_stays_with_more_than_a_pixel() -> None:
    boxes = np.array([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.1, 9.0]])
    moved = ShiftTransform(-8, 0, 20, 20).apply_box(boxes)
    assert moved[0].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert moved[1] == pytest.approx([0.0, 0.0, 1.1, 9.0])


def test_points_move_and_come_back() -> None:
    shift = ShiftTransform(3, -2, 20, 30)
    points = np.array([[5.0, 6.0], [0.5, 0.5]])
    assert shift.apply_coords(points).tolist() == [[8.0, 4.0], [3.5, -1.5]]
    assert shift.inverse().apply_coords(shift.apply_coords(points)).tolist() == points.tolist()


def test_draws_every_shift_up_to_both_ends_half_of_the_time() -> None:
    shift = RandomShift(max_shift=2)
    image, boxes = np.zeros((50, 60, 3)), np.array([[20.0, 20.0, 40.0, 40.0]])
    drawn = [shift.get_transform(image, boxes) for _ in range(4000)]
    moved = [(t.dx, t.dy) for t in drawn if isinstance(t, ShiftTransform)]
    # four standard deviations of a binomial of 4000 draws
    assert abs(len(moved) - 2000) < 4 * 4000**0.5 / 2
    assert {x for x, _ in moved} == {y for _, y in moved} == {-2, -1, 0, 1, 2}


def test_an_image_without_boxes_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    draws(monkeypatch, 0.0, [5, 5])
    assert isinstance(RandomShift().get_transform(np.ones((9, 9)), np.zeros((0, 4))), NoOpTransform)


@pytest.mark.parametrize("settings", [{"prob": 1.5}, {"prob": -0.1}, {"max_shift": -1}])
def test_settings_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"prob .* must lie in 0\.\.1, and max_shift"):
        RandomShift(**settings)
